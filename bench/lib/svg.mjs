// Recall against queries per second as an SVG picture that reads well on light and dark pages.
import { frontier } from './interpolate.mjs'

const size = { width: 860, height: 480 }
const plot = { left: 76, right: 640, top: 52, bottom: 420 }

// Colours of equal weight that also differ for people who see fewer of them; the markers differ too.
const palette = [
  ['#c2410c', '#fb923c'],
  ['#1d4ed8', '#7aa2ff'],
  ['#0f766e', '#2dd4bf'],
  ['#7e22ce', '#c084fc'],
  ['#a16207', '#facc15'],
  ['#be185d', '#f472b6'],
  ['#475569', '#a8b3c4'],
]
const markers = [circle, square, diamond, triangle, cross, plus, ring]
const recallTicks = [0.5, 0.7, 0.8, 0.9, 0.95, 0.97, 0.98, 0.99, 0.995, 0.999, 0.9999]

/**
 * Draws one line per engine. Recall is spread by its distance from 1, speed by its logarithm.
 *
 * @param series - `{ name, points: { recall, qps, min?, max? }[] }[]`.
 * @param text - `title`, and `subtitle` for the machine and date.
 */
export function drawCurves(series, { title, subtitle }) {
  const shown = series.filter(({ points }) => points.length > 0)
  const axes = axesOf(shown.flatMap(({ points }) => points))
  const body = [
    `<title>${escape(title)}</title>`,
    style(shown.length),
    `<rect class="page" width="${size.width}" height="${size.height}" rx="8"/>`,
    textAt(plot.left, 24, title, 'title'),
    textAt(plot.left, 41, subtitle, 'small'),
    ...grid(axes),
    ...shown.map((one, at) => curve(one, at, axes)),
    ...shown.map(({ name }, at) => legend(name, at)),
  ]
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${size.width} ${size.height}" role="img" aria-label="${escape(title)}">\n${body.join('\n')}\n</svg>\n`
}

/** Where a recall lies on the axis before scaling: equal steps for 0.9, 0.99, 0.999. */
export function nines(recall) {
  return -Math.log10(1 - Math.min(recall, 0.9999))
}

function axesOf(points) {
  const recalls = points.map(({ recall }) => nines(recall))
  const speeds = points.flatMap(({ qps, min = qps, max = qps }) => [min, max])
  const [low, high] = [Math.min(...recalls), Math.max(...recalls)]
  const room = Math.max(0.05, (high - low) * 0.04)
  return {
    x: scale([low - room, high + room], [plot.left, plot.right]),
    y: scale(
      [Math.log10(Math.min(...speeds) * 0.85), Math.log10(Math.max(...speeds) * 1.15)],
      [plot.bottom, plot.top],
    ),
  }
}

function scale([from, to], [start, stop]) {
  const toPixel = (value) => start + ((value - from) / (to - from || 1)) * (stop - start)
  return Object.assign(toPixel, { from, to })
}

function grid({ x, y }) {
  const columns = recallTicks
    .filter((tick) => nines(tick) >= x.from && nines(tick) <= x.to)
    .map((tick) => [
      line(x(nines(tick)), plot.top, x(nines(tick)), plot.bottom, 'grid'),
      textAt(x(nines(tick)), plot.bottom + 18, tick, 'tick middle'),
    ])
  const rows = speedTicks(y).flatMap((tick) => [
    line(plot.left, y(Math.log10(tick)), plot.right, y(Math.log10(tick)), 'grid'),
    textAt(plot.left - 8, y(Math.log10(tick)) + 4, tick.toLocaleString('en-US'), 'tick end'),
  ])
  const middle = (plot.top + plot.bottom) / 2
  return [
    ...columns.flat(),
    ...rows,
    line(plot.left, plot.bottom, plot.right, plot.bottom, 'axis'),
    line(plot.left, plot.top, plot.left, plot.bottom, 'axis'),
    textAt(
      (plot.left + plot.right) / 2,
      plot.bottom + 42,
      'recall@10 (log scale of what is missed)',
      'label middle',
    ),
    `<text class="label middle" transform="translate(18 ${middle}) rotate(-90)">queries per second (log scale)</text>`,
  ]
}

/** 1, 2 and 5 times the powers of ten within the axis. */
export function speedTicks({ from, to }) {
  const ticks = []
  for (let power = Math.floor(from); power <= Math.ceil(to); power += 1) {
    for (const step of [1, 2, 5]) {
      const tick = step * 10 ** power
      if (Math.log10(tick) >= from && Math.log10(tick) <= to) ticks.push(tick)
    }
  }
  return ticks
}

function curve({ points }, at, { x, y }) {
  const place = ({ recall, qps }) => [x(nines(recall)), y(Math.log10(qps))]
  const path = frontier(points)
    .map((point, step) => `${step === 0 ? 'M' : 'L'}${place(point).map(fixed).join(' ')}`)
    .join('')
  const whiskers = points
    .filter(({ min, max }) => min !== undefined && max > min)
    .map(({ recall, min, max }) => {
      const [left, bottom] = place({ recall, qps: min })
      return line(left, bottom, left, y(Math.log10(max)), 'whisker')
    })
  const marks = points.map((point) => markers[at % markers.length](...place(point)))
  return `<g class="s${at}"><path class="curve" d="${path}"/>${whiskers.join('')}${marks.join('')}</g>`
}

function legend(name, at) {
  const y = plot.top + 14 + at * 24
  const mark = markers[at % markers.length](plot.right + 34, y)
  const stroke = line(plot.right + 20, y, plot.right + 48, y, 'curve')
  return `<g class="s${at}">${stroke}${mark}${textAt(plot.right + 58, y + 4, name, 'label')}</g>`
}

const light = { page: '#ffffff', ink: '#1f2328', soft: '#59636e', rule: '#d8dee4' }
const dark = { page: '#0d1117', ink: '#e6edf3', soft: '#9198a1', rule: '#2b323b' }

/** Plain rules without variables, which not every program that draws SVG knows. */
function style(count) {
  return `<style>
text{font:13px ui-sans-serif,system-ui,-apple-system,'Segoe UI',sans-serif}
.title{font-size:15px;font-weight:600}.small,.tick{font-size:12px}
.middle{text-anchor:middle}.end{text-anchor:end}
.curve{stroke-width:2;fill:none}.whisker{opacity:.45}.open{stroke-width:2}
${colours(count, light, 0)}
@media (prefers-color-scheme:dark){${colours(count, dark, 1)}}
</style>`
}

function colours(count, { page, ink, soft, rule }, which) {
  const fixed = `.page{fill:${page}}.grid{stroke:${rule}}.axis{stroke:${soft}}text{fill:${ink}}.small,.tick{fill:${soft}}`
  const own = Array.from({ length: count }, (_, at) => {
    const [colour, s] = [palette[at % palette.length][which], `.s${at}`]
    return (
      `${s} .curve,${s} .whisker,${s} .open{stroke:${colour}}${s} .mark{fill:${colour};stroke:${page}}` +
      `${s} .open{fill:${page}}`
    )
  })
  return `${fixed}${own.join('')}`
}

function circle(x, y) {
  return `<circle class="mark" cx="${fixed(x)}" cy="${fixed(y)}" r="4.5"/>`
}

function ring(x, y) {
  return `<circle class="open" cx="${fixed(x)}" cy="${fixed(y)}" r="4"/>`
}

function square(x, y) {
  return polygon(x, y, [-4, -4, 4, -4, 4, 4, -4, 4])
}

function diamond(x, y) {
  return polygon(x, y, [0, -5.5, 5.5, 0, 0, 5.5, -5.5, 0])
}

function triangle(x, y) {
  return polygon(x, y, [0, -5, 5, 4, -5, 4])
}

function cross(x, y) {
  return polygon(
    x,
    y,
    [-5, -3, -3, -5, 0, -2, 3, -5, 5, -3, 2, 0, 5, 3, 3, 5, 0, 2, -3, 5, -5, 3, -2, 0],
  )
}

function plus(x, y) {
  return polygon(
    x,
    y,
    [-2, -5, 2, -5, 2, -2, 5, -2, 5, 2, 2, 2, 2, 5, -2, 5, -2, 2, -5, 2, -5, -2, -2, -2],
  )
}

function polygon(x, y, offsets) {
  const corners = offsets.map((offset, at) => fixed(offset + (at % 2 === 0 ? x : y)))
  return `<polygon class="mark" points="${corners.join(' ')}"/>`
}

function line(x1, y1, x2, y2, kind) {
  return `<line class="${kind}" x1="${fixed(x1)}" y1="${fixed(y1)}" x2="${fixed(x2)}" y2="${fixed(y2)}"/>`
}

function textAt(x, y, words, kind) {
  return `<text class="${kind}" x="${fixed(x)}" y="${fixed(y)}">${escape(String(words))}</text>`
}

function fixed(value) {
  return Number(value.toFixed(1))
}

function escape(text) {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;')
}
