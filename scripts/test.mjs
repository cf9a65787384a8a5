// `npm test`: runs the suites of suites.mjs, streams what they print, and sums up.
import { none, settle } from './counts.mjs'
import { Problem } from './problem.mjs'
import { run } from './process.mjs'
import { leftOut, suites } from './suites.mjs'

/** Runs the named suites, or all that are on; returns 0 when nothing failed. */
export async function test(named) {
  const unknown = named.find((name) => !suites.some((suite) => suite.name === name))
  if (unknown !== undefined) {
    const names = suites.map((suite) => suite.name).join(', ')
    throw new Problem(`there is no suite "${unknown}"; the suites are ${names}.`)
  }
  const all = process.env.CI === 'true' || process.env.CAIRN_SUITES === 'all'
  const results = []
  for (const suite of suites) {
    const reason = leftOut(suite, { named, all })
    results.push(reason ? { suite, reason } : { suite, ...(await runSuite(suite)) })
  }
  console.log(summary(results))
  return results.some((result) => result.failed > 0) ? 1 : 0
}

async function runSuite({ name, about, command, env, counts: count }) {
  console.log(`\n== ${name}: ${about}`)
  const counts = none()
  const started = performance.now()
  const code = await run(command, { env, onLine: (line) => count(counts, line) })
  return { ...settle(counts, code), seconds: (performance.now() - started) / 1000 }
}

/** As many lines of what a failed test said are repeated at the end. */
const linesOfFailure = 20

/** What failed, the table of suites, and as the last line `N passed, N failed` over everything that ran. */
export function summary(results) {
  const width = Math.max(...results.map(({ suite }) => suite.name.length))
  const lines = results.map((result) => `  ${result.suite.name.padEnd(width)}  ${outcome(result)}`)
  const sum = (key) => results.reduce((total, result) => total + (result[key] ?? 0), 0)
  return [
    ...failed(results),
    `\nSuites, ${(sum('seconds') / 60).toFixed(1)} minutes`,
    ...lines,
    '',
    `${sum('passed')} passed, ${sum('failed')} failed`,
  ].join('\n')
}

function failed(results) {
  const found = results.flatMap(({ suite, failures = [] }) =>
    failures.flatMap(([name, ...said]) => [
      `  ${suite.name}: ${name}`,
      ...said.slice(0, linesOfFailure).map((line) => `    ${line}`),
    ]),
  )
  return found.length > 0 ? ['\nFailed', ...found] : []
}

function outcome({ reason, passed, failed, ignored, note, seconds }) {
  if (reason) return `left out: ${reason}`
  const parts = [`${passed} passed`]
  if (failed > 0) parts.push(`${failed} FAILED${note ? ` (${note})` : ''}`)
  if (ignored > 0) parts.push(`${ignored} ignored`)
  return `${parts.join(', ')} in ${seconds.toFixed(1)} s`
}
