// The other side of worker.mjs: imports the module that the first argument names and serves calls.
const module = await import(process.argv[2])

process.on('message', ({ id, name, args }) => {
  void answer(id, name, args)
})

async function answer(id, name, args) {
  try {
    process.send({ id, value: await module[name](...args) })
  } catch (error) {
    const { message, code, stack, name: kind } = error
    process.send({ id, error: { message: `${kind}: ${message}`, code, stack } })
  }
}

// The parent is gone: nobody will ask again.
process.on('disconnect', () => process.exit())
