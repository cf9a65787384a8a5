// Wrong values of options, by what the option takes.
import { type ErrorCode } from '#ts/index.js'
import { arg, limit, never, table, type Case, type World } from './bad-input.js'

/** Values that an option is not. */
export type Wrong = readonly (readonly [title: string, value: unknown, code?: ErrorCode])[]

/** A function that does nothing. */
export const nothing = (): undefined => undefined

/** What no option of any kind takes. */
export const never_: Wrong = [
  ['null', null],
  ['an object', {}],
  ['a symbol', Symbol('s')],
  ['a date', new Date(0)],
  ['a map', new Map()],
]
/** What no text is. */
export const noText: Wrong = [
  ['a number', 5],
  ['true', true],
  ['a bigint', 5n],
  ['an array of it', ['os']],
  ['a function', nothing],
]
/** What no word of a list is. */
export const words: Wrong = [
  ...never_,
  ...noText,
  ['no word', 'nope'],
  ['no letters', ''],
  ['a name of every object', 'constructor'],
  ['half a character', '\ud800'],
]
/** What no number is. */
export const noNumber: Wrong = [
  ...never_,
  ['NaN', Number.NaN],
  ['a text', '5'],
  ['no letters', ''],
  ['a bigint', 5n],
  ['true', true],
  ['an array', [5]],
  ['a function', nothing],
  ['a boxed number', new Number(5)],
]
/** What is neither true nor false. */
export const flags: Wrong = [
  ...never_,
  ['0', 0],
  ['1', 1],
  ['"true"', 'true'],
  ['no letters', ''],
  ['an array', [true]],
  ['a boxed boolean', new Boolean(true)],
]
/** What cannot be called. */
export const calls: Wrong = [
  ...never_,
  ['a text', 'f'],
  ['a number', 5],
  ['true', true],
  ['an array', []],
]
/** What no signal is. */
export const signals: Wrong = [
  ...calls,
  ['a controller', new AbortController()],
  ['half a signal', { aborted: false }],
]
/** What no list of names is. */
export const names: Wrong = [
  ...never_,
  ['true', true],
  ['a text', 'text'],
  ['a number', 5],
  ['a function', nothing],
]

/** A whole number from `min` to `max`; where `zero` is not meant, 0 is below. */
export function whole(min: number, max?: number): Wrong {
  return [
    ...noNumber,
    [`${min - 1}`, min - 1],
    ['-1e300', -1e300],
    [`${min + 0.5}`, min + 0.5],
    ['Infinity', Number.POSITIVE_INFINITY],
    ['-Infinity', Number.NEGATIVE_INFINITY],
    ...(max === undefined
      ? ([['1e300', 1e300, limit]] as const)
      : ([
          [`${max + 1}`, max + 1, limit],
          ['1e300', 1e300, limit],
        ] as const)),
  ]
}

/** A number within bounds. */
export function within(min: number, max: number): Wrong {
  const outside: [string, number][] = []
  if (Number.isFinite(min)) outside.push([`below ${min}`, min - 0.1])
  if (Number.isFinite(max)) outside.push([`above ${max}`, 1.1 * max])
  outside.push(['Infinity', Number.POSITIVE_INFINITY], ['-Infinity', Number.NEGATIVE_INFINITY])
  return [...noNumber, ...outside]
}

/** A call with options. */
export type Call = (world: World, options: never) => unknown

/** A row for every wrong value of every option. */
export function options(
  method: string,
  call: Call,
  wrong: Readonly<Record<string, Wrong>>,
  beside: object = {},
): void {
  for (const [option, values] of Object.entries(wrong)) {
    table(
      `${method}: ${option} is not`,
      values.map(([title, value, code = arg]): Case => [
        title,
        code,
        (now) => call(now, never({ ...beside, [option]: value })),
        { path: option },
      ]),
    )
  }
  table(`${method}: options`, [
    ['of another name', arg, (now) => call(now, never({ ...beside, nope: 1 })), { path: 'nope' }],
    [
      'called as what every object has',
      arg,
      (now) => call(now, never({ ...beside, toString: 1 })),
      { path: 'toString' },
    ],
    [
      '__proto__ of JSON',
      arg,
      (now) => call(now, never({ ...beside, ...JSON.parse('{"a":1}'), ['__proto__']: 1 })),
    ],
    [
      'with a getter that throws',
      arg,
      (now) =>
        call(
          now,
          Object.defineProperty({ ...beside } as never, Object.keys(wrong)[0] ?? '', {
            enumerable: true,
            get() {
              throw new Error('do not touch')
            },
          }),
        ),
    ],
  ])
}

/** What is no bag of options at all. */
export function bags(method: string, call: Call): void {
  const wrong: Wrong = [
    ['null', null],
    ['a text', 'os'],
    ['a number', 5],
    ['true', true],
    ['an array', []],
    ['a map', new Map()],
    ['a date', new Date(0)],
    ['a function', nothing],
    ['bytes', new Uint8Array(2)],
    ['an instance of a class', new (class Options {})()],
  ]
  table(
    `${method}: options are not`,
    wrong.map(([title, value]): Case => [title, arg, (now) => call(now, never(value))]),
  )
}
