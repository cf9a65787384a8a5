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

/**
 * The document with everything between the two comments replaced.
 *
 * @throws {Error} The comments are not there exactly once, in order.
 */
export function replaceBlock(document, block) {
  const [start, stop] = [document.indexOf(begin), document.indexOf(end)]
  const once = document.lastIndexOf(begin) === start && document.lastIndexOf(end) === stop
  if (start === -1 || stop < start || !once) {
    throw new Error(`the document needs one "${begin}" and after it one "${end}"`)
  }
  return `${document.slice(0, start + begin.length)}\n${block.trim()}\n${document.slice(stop)}`
}
