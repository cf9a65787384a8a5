import test from 'ava'
import { CairnError, errorTable, isCairnError, toCairnError, withDetails } from '#ts/errors.js'

test('an error tells its code, its facts, and whether a retry can help', (t) => {
  const error = new CairnError('ERR_LOCKED', 'another writer', { pid: 7, host: 'a' }, 'why')
  t.true(error instanceof Error)
  t.is(error.name, 'CairnError')
  t.is(error.message, 'another writer: pid=7, host="a"')
  t.true(error.retryable)
  t.deepEqual(error.details, { pid: 7, host: 'a' })
  t.is(error.cause, 'why')
  t.true(Object.isFrozen(error.details))
})

test('every code of the table makes an error with a text', (t) => {
  for (const [code, { text }] of Object.entries(errorTable)) {
    t.regex(code, /^ERR_[A-Z_]+$/)
    t.not(text, '')
  }
  t.is(Object.keys(errorTable).length, 32)
})

// A query makes Node load the file once more.
const copyOfErrors: string = new URL('../errors.js?copy', import.meta.url).href

test('errors of another copy of the package are known by their brand', async (t) => {
  const copy = (await import(copyOfErrors)) as typeof import('#ts/errors.js')
  const error = new copy.CairnError('ERR_CLOSED', 'closed')
  t.false(error instanceof CairnError)
  t.true(isCairnError(error))
  t.true(isCairnError(error, 'ERR_CLOSED'))
  t.false(isCairnError(error, 'ERR_LOCKED'))
})

test('nothing else is one of our errors', (t) => {
  for (const value of [
    undefined,
    null,
    1,
    'ERR_CLOSED',
    {},
    new Error('x'),
    { code: 'ERR_CLOSED' },
  ]) {
    t.false(isCairnError(value))
  }
})

test('foreign errors become the cause of one of ours', (t) => {
  const foreign = new TypeError('x')
  const error = toCairnError(foreign)
  t.is(error.code, 'ERR_INVALID_ARGUMENT')
  t.is(error.cause, foreign)
  t.is(toCairnError(error), error)
})

test('details can be added in front and replaced', (t) => {
  const error = new CairnError('ERR_INVALID_KEY', 'a key is empty', { got: 1 })
  const more = withDetails(error, { index: 3 }, { got: 2 })
  t.is(more.message, 'a key is empty: index=3, got=2')
  t.is(more.code, 'ERR_INVALID_KEY')
})

test('messages show long and odd values briefly', (t) => {
  const { message } = new CairnError('ERR_INTERNAL', 'x', {
    long: 'a'.repeat(500),
    big: 5n,
    odd: Symbol('s'),
    none: undefined,
  })
  t.true(message.length < 200)
  t.true(message.includes('big=5n, odd=symbol, none=undefined'))
})
