// An engine in its own process on one core, built and ready for passes of queries.
import { dataFolder } from './data.mjs'
import { log } from './log.mjs'
import { megabytes } from './numbers.mjs'
import { pin } from './pin.mjs'
import { newFolder, removeFolder } from './places.mjs'
import { startWorker } from './worker.mjs'

const processModule = new URL('../engine-process.mjs', import.meta.url)

/**
 * Builds one engine; one of the peers that fails is left out, and says why.
 *
 * @param entry - A line of the definition's `engines`.
 * @param options - The `definition`, and whether it has `filtered` searches.
 * @returns `{ name, ef, full, call, about, stop }`, or null: `ef` where the entry has its own, `full` where fewer answers than asked for are wrong,
 * `call` a function of the process, `about` the columns of the record that are the same for every point.
 */
export async function startEngine(entry, { definition, filtered = false }) {
  const { dataset, buildThreads } = definition
  const folder = newFolder(entry.engine)
  const worker = startWorker(processModule, { name: entry.name })
  const stop = async () => {
    await worker.call('close').catch(() => {})
    await worker.stop('SIGKILL')
    removeFolder(folder)
  }
  try {
    const params = { ...definition.params, ...entry.params }
    const built = await worker.call('build', {
      name: entry.engine,
      folder,
      data: dataFolder(),
      dataset,
      rows: definition.rows,
      queryCount: filtered ? undefined : (entry.queries ?? definition.queries),
      params,
      threads: buildThreads,
      filtered,
    })
    const isPinned = pin(worker.pid)
    log(
      `${entry.name} ${built.version}: built in ${built.seconds.toFixed(1)} s on ${built.threads} threads, ` +
        `${megabytes(built.bytes)}, ${isPinned ? 'pinned' : 'not pinned'} ${built.note ?? ''}`,
    )
    return {
      name: entry.name,
      ef: entry.ef,
      full: entry.engine === 'cairn',
      call: (...args) => worker.call(...args),
      about: columnsOf(built, params, isPinned),
      stop,
    }
  } catch (error) {
    await stop()
    if (entry.engine === 'cairn') throw error
    log(`${entry.name} is LEFT OUT: ${error.message}`)
    return null
  }
}

function columnsOf({ version, seconds, threads, bytes, rss, peak, rows }, params, isPinned) {
  return {
    version,
    params: Object.entries(params)
      .map((pair) => pair.join('='))
      .join(' '),
    rows,
    build_s: seconds.toFixed(2),
    build_threads: threads,
    bytes,
    rss_bytes: rss,
    peak_rss_bytes: peak,
    pinned: isPinned ? 1 : 0,
  }
}
