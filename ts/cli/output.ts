// Answers as text: tables for people, JSON and CSV for programs.
import { types } from 'node:util'
import { isCairnError } from '../errors.js'
import { encodeVector } from '../io/values.js'
import type { Answer, Table } from './command.js'
import type { Output } from './settings.js'

/** An answer as it is written, with the end of its last line. */
export function format(answer: Answer, output: Output): string {
  switch (output) {
    case 'json':
      return `${toJson(answer.value, '  ')}\n`
    case 'ndjson': {
      const { value, lines = Array.isArray(value) ? (value as unknown[]) : [value] } = answer
      return lines.map((line) => `${toJson(line)}\n`).join('')
    }
    case 'csv':
      return toCsv(answer.table)
    default:
      return toTable(answer.table)
  }
}

/**
 * A value as JSON: integers of any size as digits, instants as text, bytes in base64, vectors as arrays,
 * errors by code and message.
 */
export function toJson(value: unknown, indent: string = '', before: string = '\n'): string {
  const inner = before + indent
  const enclosed = (open: string, parts: readonly string[], close: string): string => {
    if (parts.length === 0) return open + close
    if (indent === '') return open + parts.join(',') + close
    return open + inner + parts.join(`,${inner}`) + before + close
  }
  const nested = (part: unknown): string => toJson(part, indent, inner)
  if (typeof value === 'bigint') return String(value)
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null'
  if (types.isDate(value)) return JSON.stringify(value)
  if (value instanceof Uint8Array) return JSON.stringify(Buffer.from(value).toString('base64'))
  // As short as can be read back to the same 32 bits.
  if (value instanceof Float32Array) return encodeVector(value)
  if (types.isTypedArray(value)) return `[${Array.from(value as ArrayLike<number>).join(',')}]`
  if (Array.isArray(value)) return enclosed('[', value.map(nested), ']')
  const members = isCairnError(value)
    ? { code: value.code, message: value.message, details: value.details }
    : value
  const parts = Object.entries(members)
    .filter(([, member]) => member !== undefined)
    .map(([name, member]) => `${JSON.stringify(name)}:${indent && ' '}${nested(member)}`)
  return enclosed('{', parts, '}')
}

/** Comma-separated values after RFC 4180, with lines that end as those of Unix do. */
function toCsv({ columns, rows }: Table): string {
  return [columns, ...rows].map((row) => `${row.map(csvCell).join(',')}\n`).join('')
}

function csvCell(value: unknown): string {
  const text = cell(value)
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}

/** Columns of equal width, numbers to the right; nothing where there are no rows. */
function toTable({ columns, rows }: Table): string {
  if (rows.length === 0) return ''
  const texts = rows.map((row) => row.map((value) => printable(cell(value))))
  const lines = [columns.map(printable), ...texts]
  // One by one: a call takes some 100,000 arguments at most.
  const widths = columns.map((_, at) =>
    lines.reduce((width, line) => Math.max(width, widthOf(line[at])), 0),
  )
  const isNumber = columns.map((_, at) => rows.every((row) => isNumeric(row[at])))
  return lines
    .map((line) => {
      const padded = line.map((text, at) => {
        const space = ' '.repeat((widths[at] ?? 0) - widthOf(text))
        return isNumber[at] ? space + text : text + space
      })
      return `${padded.join('  ').trimEnd()}\n`
    })
    .join('')
}

function widthOf(text: string | undefined): number {
  return Array.from(text ?? '').length
}

function isNumeric(value: unknown): boolean {
  return typeof value === 'number' || typeof value === 'bigint'
}

function cell(value: unknown): string {
  if (value === undefined || value === null) return ''
  if (typeof value === 'string') return value
  if (types.isDate(value) || value instanceof Uint8Array) {
    return JSON.parse(toJson(value)) as string
  }
  return toJson(value)
}

/** Text that cannot steer a terminal: what is stored may come from anywhere. */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\u2028-\u202e\u2066-\u2069]/gu, (character) => {
    const short = { '\n': '\\n', '\r': '\\r', '\t': '\\t' }[character]
    return short ?? `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`
  })
}
