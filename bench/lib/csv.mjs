// CSV files of the record: written, read back, and merged, so that parts can be run one by one.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'

/** Rows as RFC 4180 text with a header. */
export function stringify(rows, columns) {
  const line = (cells) => cells.map(quoted).join(',')
  return `${[columns, ...rows.map((row) => columns.map((column) => row[column]))].map(line).join('\n')}\n`
}

/** Text with a header as an array of objects of strings. */
export function parse(text) {
  const [header, ...lines] = cellsOf(text)
  return lines.map((cells) => Object.fromEntries(header.map((name, at) => [name, cells[at] ?? ''])))
}

/** `older` without the rows that agree with one of `newer` in `keys`, then `newer`. */
export function merge(older, newer, keys) {
  const keyOf = (row) => JSON.stringify(keys.map((key) => String(row[key] ?? '')))
  const replaced = new Set(newer.map(keyOf))
  return [...older.filter((row) => !replaced.has(keyOf(row))), ...newer]
}

/** Puts rows into a file in place of those that agree with them in `keys`. */
export function update(file, rows, { columns, keys }) {
  const older = existsSync(file) ? parse(readFileSync(file, 'utf8')) : []
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, stringify(merge(older, rows, keys), columns))
}

function quoted(value) {
  const text = value === undefined || value === null ? '' : String(value)
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}

function cellsOf(text) {
  const lines = [[]]
  const cell = /(?:"((?:[^"]|"")*)"|([^",\n]*))(,|\r?\n|$)/y
  while (cell.lastIndex < text.length) {
    const [, inQuotes, plain, end] = cell.exec(text) ?? fail(text, cell.lastIndex)
    lines.at(-1).push(inQuotes === undefined ? plain : inQuotes.replaceAll('""', '"'))
    if (end !== ',' && cell.lastIndex < text.length) lines.push([])
  }
  return lines
}

function fail(text, at) {
  throw new Error(`not CSV at character ${at}: ${JSON.stringify(text.slice(at, at + 40))}`)
}
