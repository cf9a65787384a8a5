// The demo as a suite: the program of `npm run demo`, as it is, held to what it promises whoever tries it. The addon
// is built by then. One TAP line for each promise; what the demo says stands before them as comments.
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { pathToFileURL } from 'node:url'
import { root } from './process.mjs'

/** Longer than this nobody watches. */
const secondsMax = 30

/** Then it is taken as hanging. */
const hangMs = 4 * secondsMax * 1000

/** What was promised, and why it was not kept where it was not. */
export function judge({ code, seconds, lines }) {
  const recall = lines.find((line) => /^\s*recall@\d+\s+\d+(?:\.\d+)? %/.test(line))
  const verdict = lines.find((line) => line.startsWith('Done in '))
  return [
    { title: 'the demo ends with 0', why: code === 0 ? '' : `it ended with ${code}` },
    {
      title: `the demo takes less than ${secondsMax} s`,
      why: seconds < secondsMax ? '' : `it took ${seconds.toFixed(1)} s`,
    },
    {
      title: 'the demo prints the recall that it measured',
      why: recall === undefined ? 'there is no such line' : '',
    },
    {
      title: 'the demo says that everything held',
      why: verdict?.endsWith(': everything held') ? '' : (verdict ?? 'it has no last line'),
    },
  ]
}

async function watch() {
  const started = performance.now()
  const child = spawn(process.execPath, ['demo/demo.mjs'], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'inherit'],
    timeout: hangMs,
  })
  const ended = new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code, signal) => resolve(code ?? signal))
  })
  const lines = []
  for await (const line of createInterface({ input: child.stdout })) {
    console.log(`# ${line}`)
    lines.push(line)
  }
  return { code: await ended, seconds: (performance.now() - started) / 1000, lines }
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  console.log('TAP version 13')
  const promises = judge(await watch())
  for (const [index, { title, why }] of promises.entries()) {
    console.log(`${why === '' ? 'ok' : 'not ok'} ${index + 1} - ${title}`)
    if (why !== '') console.log(`  ${why}`)
  }
  console.log(`1..${promises.length}`)
  process.exitCode = promises.every(({ why }) => why === '') ? 0 : 1
}
