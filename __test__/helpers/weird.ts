// Values that nobody should pass, and somebody will.

/** A value whose every use throws. */
export function thrower(): object {
  const refuse = (): never => {
    throw new Error('do not touch')
  }
  return new Proxy(() => undefined, {
    get: refuse,
    has: refuse,
    ownKeys: refuse,
    getPrototypeOf: refuse,
    getOwnPropertyDescriptor: refuse,
    apply: refuse,
    construct: refuse,
  })
}

function throwingObject(): object {
  const refuse = (): never => {
    throw new Error('do not touch')
  }
  return new Proxy({}, { get: refuse, has: refuse, ownKeys: refuse, getPrototypeOf: refuse })
}

function revoked(): object {
  const { proxy, revoke } = Proxy.revocable({}, {})
  revoke()
  return proxy
}

function cyclic(): object {
  const value: Record<string, unknown> = {}
  value['self'] = value
  return value
}

/** The values, each with a name. Made anew for each use. */
export function weirdValues(): [name: string, value: unknown][] {
  return [
    ['undefined', undefined],
    ['null', null],
    ['NaN', Number.NaN],
    ['Infinity', Number.POSITIVE_INFINITY],
    ['-0', -0],
    ['0', 0],
    ['-1', -1],
    ['1.5', 1.5],
    ['true', true],
    ['a bigint', 12_345n],
    ['an empty string', ''],
    ['a string', 'text'],
    ['a lone surrogate', '\ud800'],
    ['an object', {}],
    ['an array', []],
    ['an array of null', [null]],
    ['an array of holes', [, ,]],
    ['an object without a prototype', Object.create(null)],
    ['a symbol', Symbol('s')],
    ['a function', () => undefined],
    ['a class', class {}],
    ['a date', new Date(Number.NaN)],
    ['a map', new Map()],
    ['a promise', Promise.resolve()],
    ['a typed array', new Uint16Array(3)],
    ['an array buffer', new ArrayBuffer(8)],
    ['a proxy that throws', throwingObject()],
    ['a function proxy that throws', thrower()],
    ['a revoked proxy', revoked()],
    ['a circle', cyclic()],
  ]
}

/** A view whose memory was transferred away. */
export function detached<V extends ArrayBufferView<ArrayBuffer>>(view: V): V {
  structuredClone(view.buffer, { transfer: [view.buffer] })
  return view
}

/** The same numbers in memory that threads share. */
export function shared(numbers: readonly number[]): Float32Array {
  const view = new Float32Array(new SharedArrayBuffer(numbers.length * 4))
  view.set(numbers)
  return view
}
