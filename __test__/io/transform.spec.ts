import { createHmac } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { exportTo, hash, importFrom, mask, type Transform } from '#ts/io/index.js'
import { fails } from '../helpers/expect.js'
import { openFor, temporaryDirectory } from '../helpers/home.js'

const schema = { vectors: { dim: 1, metric: 'l2' }, fields: { mail: 'keyword' } } as const
const salt = 'a salt of sixteen and more'

test('masked fields do not leave, and hashed ones can still be joined', async (t) => {
  const db = await openFor(t)
  const docs = await db.collection('docs', schema)
  await docs.upsert([
    { key: 'a', vector: [1], fields: { mail: 'x@y', phone: 123, age: 5 } },
    { key: 'b', vector: [1], fields: { mail: 'x@y', phone: null } },
    { key: 'c', vector: [1] },
  ])
  const path = join(temporaryDirectory(t), 'docs.jsonl')
  const hidden = hash(['mail', 'phone'], salt)
  const masked = mask(['age'])
  await exportTo(docs, path, { transform: (record) => masked(record) && hidden(record) })
  const both: Transform = (record) => hidden(masked(record) ?? record)
  await exportTo(docs, path, { transform: both })
  t.false(/x@y|123|age/.test(readFileSync(path, 'utf8').split('\n').slice(1).join('\n')))
  await importFrom({ db, name: 'copy' }, path)
  const copy = await db.openCollection('copy')
  const hashed = (text: string): string => createHmac('sha256', salt).update(text).digest('hex')
  t.deepEqual(
    (await copy.get(['a', 'b', 'c'])).map((record) => record?.fields),
    [{ mail: hashed('x@y'), phone: hashed('123') }, { mail: hashed('x@y'), phone: null }, {}],
  )
})

test('an import transforms, too, and null leaves a record out', async (t) => {
  const docs = await (await openFor(t)).collection('docs', schema)
  const lines = ['a', 'b', 'c'].map((key) => `{"key":"${key}","vector":[1],"mail":"${key}"}\n`)
  const result = await importFrom(docs, [Buffer.from(lines.join(''))], {
    format: 'jsonl',
    transform: (record) =>
      record.key === 'b' ? null : { ...record, key: `${record.key}!`, vectors: { vector: [7] } },
  })
  t.like(result, { rows: 2, skipped: 1 })
  t.deepEqual(await docs.get(['a!', 'b!', 'c!'], { vectors: true, select: false }), [
    {
      key: 'a!',
      version: 1n,
      fields: {},
      vector: Float32Array.of(7),
      vectors: { vector: Float32Array.of(7) },
    },
    null,
    {
      key: 'c!',
      version: 1n,
      fields: {},
      vector: Float32Array.of(7),
      vectors: { vector: Float32Array.of(7) },
    },
  ])
})

test("what a transform gives is checked, and what it throws is the caller's own", async (t) => {
  const db = await openFor(t)
  const docs = await db.collection('docs', schema)
  await docs.upsert({ key: 'a', vector: [1] })
  const path = join(temporaryDirectory(t), 'docs.jsonl')
  const source = [Buffer.from('{"key":"a","vector":[1]}')]
  for (const wrong of [undefined, 5, {}, { key: 'a', fields: {} }]) {
    const transform = () => wrong as never
    const call = () => exportTo(docs, path, { transform })
    await fails(t, call, 'ERR_INVALID_ARGUMENT', { path: 'transform' })
    const back = () => importFrom(docs, source, { format: 'jsonl', transform, onError: 'skip' })
    await fails(t, back, 'ERR_INVALID_ARGUMENT', { path: 'transform' })
  }
  const transform = (): never => {
    throw new RangeError('mine')
  }
  await t.throwsAsync(importFrom(docs, source, { format: 'jsonl', transform }), {
    instanceOf: RangeError,
  })
  t.throws(() => hash(['a'], 'short'), { code: 'ERR_INVALID_ARGUMENT' })
  t.throws(() => mask('a' as never), { code: 'ERR_INVALID_ARGUMENT' })
})
