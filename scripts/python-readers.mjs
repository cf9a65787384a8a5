// What we write, read by pyarrow, DuckDB and NumPy; and what they write, read by us. One TAP line for each.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { open } from '../dist/index.js'
import { exportTo, importFrom } from '../dist/io/index.js'
import { python } from './python.mjs'
import { root } from './process.mjs'

const dim = 5
const rows = 3000
const directory = mkdtempSync(join(tmpdir(), 'cairn-python-'))
const path = (name) => join(directory, name)
const db = await open(':memory:')

const docs = await db.collection('docs', {
  vectors: { body: { dim, metric: 'l2' } },
  fields: {
    n: 'int',
    price: 'float',
    isNew: 'bool',
    seen: 'date',
    tags: 'keyword[]',
    raw: 'bytes',
    title: 'text',
  },
})
const vector = (at) => Float32Array.from({ length: dim }, (_, part) => Math.sin(at * dim + part))
const key = (at) => `k${String(at).padStart(5, '0')}`
await docs.upsert(
  Array.from({ length: rows }, (_, at) => ({
    key: key(at),
    vectors: { body: vector(at) },
    // Every third record lacks what it can lack; every fifth has a null.
    fields:
      at % 3 === 0
        ? {}
        : {
            n: 2n ** 60n + BigInt(at),
            price: at / 7,
            isNew: at % 2 === 0,
            seen: new Date(1_700_000_000_000 + at),
            tags: [`t${at % 4}`, '\u00e9'],
            raw: new Uint8Array([at & 255, 0]),
            title: at % 5 === 0 ? null : `title ${at}`,
            other: { at },
          },
  })),
)

const files = ['docs.arrow', 'docs.arrows', 'docs.parquet', 'docs.npy', 'docs.jsonl', 'docs.fvecs']
let number = 0
let failures = 0

async function check(title, work) {
  number += 1
  try {
    await work()
    console.log(`ok ${number} - ${title}`)
  } catch (error) {
    failures += 1
    console.log(`not ok ${number} - ${title}`)
    for (const line of String(error.stack ?? error).split('\n')) console.log(`  ${line}`)
  }
}

const run = (name) =>
  execFileSync(
    python,
    [join(root, 'scripts/python-readers.py'), name, directory, String(rows), String(dim)],
    {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  )

console.log('TAP version 13')
try {
  for (const file of files) await exportTo(docs, path(file), { chunkRows: 700 })
  for (const reader of [
    'pyarrow_arrow',
    'pyarrow_parquet',
    'duckdb_parquet',
    'duckdb_jsonl',
    'numpy_npy',
    'numpy_fvecs',
  ]) {
    await check(reader.replace('_', ' reads '), () => run(reader))
  }
  await check('pyarrow and NumPy write', () => run('write'))
  for (const file of [
    'py.arrow',
    'py.arrows',
    'py-none.parquet',
    'py-snappy.parquet',
    'py-gzip.parquet',
    'py-brotli.parquet',
  ]) {
    await check(`we read ${file} of pyarrow`, async () => {
      const copy = await db.collection('copy', {
        vectors: { body: { dim, metric: 'l2' } },
        fields: { seen: 'date' },
      })
      const result = await importFrom(copy, path(file), { key: 'id' })
      assert.equal(result.rows, rows)
      await same(copy)
      await db.dropCollection('copy')
    })
  }
  for (const file of ['py-f4.npy', 'py-f8.npy', 'py-big.npy']) {
    await check(`we read ${file} of NumPy`, async () => {
      const copy = await db.collection('copy', { vectors: { body: { dim, metric: 'l2' } } })
      await importFrom(copy, path(file), { key: ({ key: row }) => key(row) })
      assert.equal(await copy.count(), rows)
      for (const at of [0, 1, rows - 1]) {
        assert.deepEqual((await copy.get(key(at), { vectors: true })).vector, vector(at))
      }
      await db.dropCollection('copy')
    })
  }
  await check('what pyarrow read and wrote again comes back the same', async () => {
    for (const file of ['again.arrow', 'again.parquet']) {
      await importFrom({ db, name: 'again' }, path(file))
      const again = await db.openCollection('again')
      assert.deepEqual(again.schema, docs.schema)
      const originals = docs.scan({ vectors: true })
      for await (const { fields, vectors, key: own } of again.scan({ vectors: true })) {
        const { value } = await originals.next()
        assert.deepEqual(
          { own, fields, vectors },
          { own: value.key, fields: value.fields, vectors: value.vectors },
        )
      }
      assert.equal((await originals.next()).done, true)
      await db.dropCollection('again')
    }
  })
  console.log(`1..${number}`)
} finally {
  await db.close()
  rmSync(directory, { recursive: true, force: true })
}
process.exitCode = failures === 0 ? 0 : 1

/** The table that Python wrote, as records. */
async function same(copy) {
  for (const at of [0, 1, 2, rows - 1]) {
    const record = await copy.get(key(at), { vectors: true })
    assert.deepEqual(record.vector, vector(at))
    const expected = {
      n: at,
      price: at / 7,
      seen: new Date(1_700_000_000_000 + at),
      tags: [`t${at}`],
      raw: new Uint8Array([1, 0]),
      at: { x: at },
    }
    if (at % 2 === 1) expected.maybe = `m${at}`
    assert.deepEqual(record.fields, expected)
  }
}
