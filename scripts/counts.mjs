// Reading how many tests passed from what the test programs print, one line at a time.

/** Counts of one suite, and what it said of each failed test: an array of lines each. */
export const none = () => ({ passed: 0, failed: 0, ignored: 0, failures: [] })

// eslint-disable-next-line no-control-regex -- the escape character is what colours begin with
const colour = /\u001b\[[\d;]*m/g

/**
 * cargo: one "test result:" line for each test binary and for the doc tests of each crate, and before it, for each
 * failed test, what it printed.
 */
export function cargo(counts, line) {
  const text = line.replace(colour, '')
  const failure = /^---- (.*) stdout ----$/.exec(text)
  if (failure) counts.failures.push((counts.open = [failure[1]]))
  else if (/^(failures:|test result:)/.test(text)) delete counts.open
  else if (text !== '') counts.open?.push(text)
  const found = /^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored/.exec(text)
  if (!found) return
  counts.passed += Number(found[1])
  counts.failed += Number(found[2])
  counts.ignored += Number(found[3])
}

/**
 * The Test Anything Protocol: one "ok" or "not ok" line for each test; indented lines before it are parts of a test,
 * those after it say why it failed.
 */
export function tap(counts, line) {
  if (line.startsWith(' ')) counts.open?.push(line)
  else delete counts.open
  const found = /^(not )?ok \d+(.*)$/.exec(line)
  if (!found) return
  const directive = /[^\\]#\s*(skip|todo)\b/i.exec(found[2])
  if (directive) counts.ignored += 1
  else if (found[1]) {
    counts.failed += 1
    counts.failures.push((counts.open = [found[2].replace(/^ - /, '')]))
  } else counts.passed += 1
}

/**
 * The counts of a suite that has ended.
 *
 * A program that fails without naming a failed test (it did not compile, it crashed), and one that passes without
 * having run anything, each count as one failure: silence is not success.
 */
export function settle(counts, code) {
  if (counts.failed > 0) return { ...counts }
  if (code !== 0) return { ...counts, failed: 1, note: `ended with code ${code}` }
  if (counts.passed === 0) return { ...counts, failed: 1, note: 'ran no test' }
  return { ...counts }
}
