// Markdown tables, and the block of a document that this benchmark writes.

const begin = '<!-- bench:start -->'
const end = '<!-- bench:end -->'

/** A table; columns of numbers (`right: true`) are aligned to the right. */
export function table(columns, rows) {
  const line = (cells) => `| ${cells.join(' | ')} |`
  const escaped = (cell) => String(cell).replaceAll('|', '\\|')
  return [
    line(columns.map(({ title }) => title)),
    `|${columns.map(({ right }) => (right ? '---:' : '---')).join('|')}|`,
    ...rows.map((row) => line(row.map(escaped))),
  ].join('\n')
}

/** What stands between the two comments. */
export function blockIn(document) {
  const [start, stop] = placeOf(document)
  return document.slice(start, stop)
}

/**
 * The document with everything between the two comments replaced.
 *
 * @throws {Error} The comments are not there exactly once, in order.
 */
export function replaceBlock(document, block) {
  const [start, stop] = placeOf(document)
  return `${document.slice(0, start)}\n${block.trim()}\n${document.slice(stop)}`
}

function placeOf(document) {
  const [start, stop] = [document.indexOf(begin), document.indexOf(end)]
  const once = document.lastIndexOf(begin) === start && document.lastIndexOf(end) === stop
  if (start === -1 || stop < start || !once) {
    throw new Error(`the document needs one "${begin}" and after it one "${end}"`)
  }
  return [start + begin.length, stop]
}

/**
 * Lines that only one of two documents has, each as often as it has it more: `-` those of the first, with their
 * number there, and `+` those of the second, with theirs. Where the same lines stand in another order, the first
 * place that differs.
 */
export function differences(before, after) {
  const [old, fresh] = [before.split('\n'), after.split('\n')]
  const found = [...only(old, fresh, '-'), ...only(fresh, old, '+')]
  if (found.length > 0 || before === after) return found
  const at = old.findIndex((line, index) => line !== fresh[index])
  return [`-${at + 1}: ${old[at]}`, `+${at + 1}: ${fresh[at]}`]
}

function only(lines, others, sign) {
  const left = new Map()
  for (const line of others) left.set(line, (left.get(line) ?? 0) + 1)
  return lines.flatMap((line, index) => {
    const times = left.get(line) ?? 0
    left.set(line, times - 1)
    return times > 0 ? [] : [`${sign}${index + 1}: ${line}`]
  })
}
