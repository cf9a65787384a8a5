import test from 'ava'
import { documentFields, documentOf } from '#ts/index.js'
import { fails } from './helpers/expect.js'
import { openFor } from './helpers/home.js'

test('a chunk of a document is stored as ordinary fields and read back', async (t) => {
  const docs = await (
    await openFor(t)
  ).collection('docs', {
    vectors: { dim: 2, metric: 'l2' },
    fields: { source_file: 'keyword', chunk_index: 'int', lang: 'keyword' },
  })
  const chunk = {
    sourceFile: 'tides.md',
    chunkIndex: 7,
    customFields: { lang: 'en', author: 'Ada' },
  }
  await docs.upsert({ key: 'a', vector: [1, 2], fields: documentFields(chunk) })
  const record = await docs.get('a')
  t.deepEqual(record?.fields as unknown, {
    source_file: 'tides.md',
    chunk_index: 7,
    lang: 'en',
    author: 'Ada',
  })
  t.deepEqual(documentOf(record?.fields ?? {}), chunk)
})

test('the place in the file is -1 unless there is one', (t) => {
  const fields = documentFields({ sourceFile: 'a.txt' })
  t.deepEqual(fields, { source_file: 'a.txt', chunk_index: -1 })
  t.deepEqual(documentOf(fields), { sourceFile: 'a.txt', chunkIndex: -1, customFields: {} })
  t.is(documentOf({ source_file: 'a.txt' }).chunkIndex, -1)
})

test('__proto__ is an ordinary custom field', (t) => {
  const customFields = JSON.parse('{"__proto__":"x"}') as Record<string, string>
  const fields = documentFields({ sourceFile: 'a.txt', customFields })
  t.deepEqual(Object.keys(fields), ['source_file', 'chunk_index', '__proto__'])
  t.deepEqual(Object.entries(documentOf(fields).customFields), [['__proto__', 'x']])
})

test('a custom field cannot have the name of another', async (t) => {
  for (const name of ['source_file', 'chunk_index']) {
    const call = () => documentFields({ sourceFile: 'a.txt', customFields: { [name]: 'x' } })
    await fails(t, call, 'ERR_INVALID_ARGUMENT', { path: 'customFields', got: `"${name}"` })
  }
})

test('a record that is no chunk is refused, and fields that are no text are left out', async (t) => {
  await fails(t, () => documentOf({ title: 'x' }), 'ERR_INVALID_ARGUMENT', { path: 'source_file' })
  await fails(
    t,
    () => documentOf({ source_file: 'a.txt', chunk_index: 'first' }),
    'ERR_INVALID_ARGUMENT',
    { path: 'chunk_index' },
  )
  const { customFields } = documentOf({ source_file: 'a.txt', year: 2024, lang: 'en' })
  t.deepEqual(customFields, { lang: 'en' })
})

test('a custom field that is no text is refused, and not lost on the way back', async (t) => {
  for (const value of [5, 5n, true, null, new Date(0), ['x'], {}]) {
    const customFields = { lang: 'en', pages: value as never }
    await fails(
      t,
      () => documentFields({ sourceFile: 'a.txt', customFields }),
      'ERR_INVALID_ARGUMENT',
      { path: 'customFields.pages' },
    )
  }
})
