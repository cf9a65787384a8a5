// What the demo prints on: headings, one line that moves, a table, and images made of characters.
import { side } from './images.mjs'

const out = process.stdout
// Whoever reads has gone, such as `head`: so do we.
out.on('error', () => process.exit(1))
const live = out.isTTY === true && process.env.TERM !== 'dumb'
const coloured = live && (process.env.NO_COLOR ?? '') === ''
const unicode = live && /utf-?8/i.test(locale())
/** Columns to draw in; a log or a pipe takes any number. */
const width = live ? out.columns : 120
const indent = '   '

const paint = (code) => (text) => (coloured ? `\u001B[${code}m${text}\u001B[0m` : text)
const strong = paint('1')
const faint = paint('2')
const good = paint('32')
const bad = paint('31')

const [barFull, barEmpty] = unicode ? ['\u2501', '\u2500'] : ['#', '.']
const barCells = 32
const rule = unicode ? '\u2500' : '-'

/** 1,234,567 */
export const count = (value) => Math.round(value).toLocaleString('en-US')

/** 12.3 ms or 1.23 s. */
export function duration(milliseconds) {
  if (milliseconds >= 1000) return `${(milliseconds / 1000).toFixed(2)} s`
  return `${milliseconds.toFixed(milliseconds < 10 ? 1 : 0)} ms`
}

/** 97.4 % */
export const percent = (share) => `${(share * 100).toFixed(1)} %`

/** The first lines: what this is, and where it runs. */
export function title(text, where) {
  say(`\n${strong(text)}\n${faint(where)}`)
}

/** Begins a step. */
export function heading(number, text) {
  say(`\n${strong(`${number}  ${text}`)}`)
}

/** A line of a step. */
export function line(text) {
  say(`${indent}${text}`)
}

/** A line about something that had to hold; tells whether it did. */
export function check(holds, text) {
  line(`${holds ? good(unicode ? '\u2713' : 'ok') : bad(unicode ? '\u2717' : 'FAILED')} ${text}`)
  return holds
}

/** A bar that moves while `done` grows to `total`. Where lines cannot be written over, only its end is printed. */
export function progress(total) {
  const draw = (done, text, end) => {
    const full = Math.round((done / total) * barCells)
    const bar = good(barFull.repeat(full)) + faint(barEmpty.repeat(barCells - full))
    out.write(`${live ? '\r\u001B[K' : ''}${indent}${bar}  ${text}${end}`)
  }
  return {
    move: (done, text) => live && draw(done, text, ''),
    end: (text) => draw(total, text, '\n'),
  }
}

/** Rows of a name and a value. */
export function table(rows) {
  const names = Math.max(...rows.map(([name]) => name.length))
  const values = Math.max(...rows.map(([, value]) => value.length))
  const edge = faint(rule.repeat(names + values + 4))
  line(edge)
  for (const [name, value, note = ''] of rows) {
    line(`${name.padEnd(names)}    ${strong(value.padStart(values))}${note && `  ${faint(note)}`}`)
  }
  line(edge)
}

/** Every digit fits a window of this many rows and columns, and a terminal is narrow. */
const window = 20
const gap = '   '

/** How many images fit beside each other, at most four. */
export const imagesAcross = Math.max(
  2,
  Math.min(4, Math.floor((width - indent.length + gap.length) / (window + gap.length))),
)

/** Draws images beside each other, each over its caption. */
export function gallery(images) {
  const columns = images.map(({ pixels }) => drawing(pixels))
  for (let at = 0; at < window / 2; at += 1) {
    line(columns.map((column) => column[at]).join(gap))
  }
  line(faint(images.map(({ caption }) => caption.padEnd(window)).join(gap)))
}

/** Two rows of pixels make a line, because a character is about twice as high as it is wide. */
function drawing(pixels) {
  const [top, left] = windowOver(pixels)
  const lines = []
  for (let row = top; row < top + window; row += 2) {
    let text = ''
    for (let column = left; column < left + window; column += 1) {
      const at = row * side + column
      text += cell(pixels[at], pixels[at + side])
    }
    lines.push(text)
  }
  return lines
}

/** The first row and column of the window whose middle is the middle of the ink. */
function windowOver(pixels) {
  const inked = [...pixels.keys()].filter((at) => pixels[at] > 0)
  const first = (places) => {
    const [low, high] = [Math.min(...places), Math.max(...places)]
    return Math.max(0, Math.min(side - window, Math.floor((low + high + 1 - window) / 2)))
  }
  return [first(inked.map((at) => Math.floor(at / side))), first(inked.map((at) => at % side))]
}

const shades = ' .:-=+*#%@'
const ink = 0.4

/** One character for a pixel above another. */
function cell(upper, lower) {
  if (!unicode) return shades[Math.round(((upper + lower) / 2) * (shades.length - 1))]
  if (upper > ink) return lower > ink ? '\u2588' : '\u2580'
  return lower > ink ? '\u2584' : ' '
}

function say(text) {
  out.write(`${text.trimEnd()}\n`)
}

/** The locale's name, which says whether the terminal is told in UTF-8. */
function locale() {
  const { LC_ALL, LC_CTYPE, LANG, WT_SESSION } = process.env
  return LC_ALL || LC_CTYPE || LANG || (WT_SESSION || process.platform === 'darwin' ? 'utf-8' : '')
}
