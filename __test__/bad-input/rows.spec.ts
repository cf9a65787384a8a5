// Wrong rows and options of writes.
import { arg, good, limit, never, table, type Case } from '../helpers/bad-input.js'
import { detached, shared } from '../helpers/weird.js'

table('row', [
  ['null', arg, ({ cos }) => cos.upsert(never([null])), { index: 0 }],
  ['a hole', arg, ({ cos }) => cos.upsert(never([,])), { index: 0 }],
  ['a text', arg, ({ cos }) => cos.upsert(never(['one'])), { index: 0 }],
  [
    'an array in an array',
    arg,
    ({ cos }) => cos.upsert(never([[{ key: 'a', vector: good }]])),
    { index: 0 },
  ],
  ['nothing', arg, ({ cos }) => cos.upsert(never(undefined))],
  ['null alone', arg, ({ cos }) => cos.upsert(never(null))],
  ['a number', arg, ({ cos }) => cos.upsert(never(5))],
  ['a Float32Array', arg, ({ cos }) => cos.upsert(never(new Float32Array(4)))],
  [
    'id for key',
    arg,
    ({ cos }) => cos.upsert(never({ key: 'a', id: 'a', vector: good })),
    { path: 'id' },
  ],
  [
    'feilds for fields',
    arg,
    ({ cos }) => cos.upsert(never({ key: 'a', vector: good, feilds: {} })),
    { path: 'feilds', suggestion: 'fields' },
  ],
  [
    'an unknown column',
    arg,
    ({ cos }) => cos.upsert(never({ keys: ['a'], vectors: new Float32Array(good), payload: [] })),
    { path: 'payload' },
  ],
  [
    'fields that are an array',
    arg,
    ({ cos }) => cos.upsert(never({ key: 'a', vector: good, fields: [] })),
    { index: 0, key: 'a' },
  ],
  [
    'fields that are null',
    arg,
    ({ cos }) => cos.upsert(never({ key: 'a', vector: good, fields: null })),
    { index: 0 },
  ],
  [
    'fields that are a map',
    arg,
    ({ cos }) => cos.upsert(never({ key: 'a', vector: good, fields: new Map() })),
    { index: 0 },
  ],
  [
    'a field column too short',
    arg,
    ({ cos }) =>
      cos.upsert({
        keys: ['a', 'b'],
        vectors: new Float32Array([...good, ...good]),
        fields: { int: [1] },
      }),
    { field: 'int', expected: 2, got: 1 },
  ],
  [
    'a field column that is none',
    arg,
    ({ cos }) =>
      cos.upsert({ keys: ['a'], vectors: new Float32Array(good), fields: { int: never(5) } }),
    { path: 'fields.int' },
  ],
  [
    'a field column in shared memory',
    arg,
    ({ cos }) =>
      cos.upsert({
        keys: ['a'],
        vectors: new Float32Array(good),
        fields: { float: shared([1]) },
      }),
    { field: 'float' },
  ],
  [
    'a field column that is detached',
    arg,
    ({ cos }) =>
      cos.upsert({
        keys: ['a'],
        vectors: new Float32Array(good),
        fields: { float: detached(new Float64Array(1)) },
      }),
    { field: 'float', expected: undefined },
  ],
  [
    'too few objects of fields',
    arg,
    ({ cos }) =>
      cos.upsert({ keys: ['a', 'b'], vectors: new Float32Array([...good, ...good]), fields: [{}] }),
    { field: 'fields' },
  ],
  [
    'a wrong value in a column',
    arg,
    ({ cos }) =>
      cos.upsert({
        keys: ['a', 'b'],
        vectors: new Float32Array([...good, ...good]),
        fields: { int: [1, 'x'] },
      }),
    { index: 1, key: 'b', field: 'int' },
  ],
])

const row = { key: 'new', vector: good }
table('option of a write', [
  [
    'unknown',
    arg,
    ({ cos }) => cos.upsert(row, never({ durabilty: 'os' })),
    { path: 'durabilty', suggestion: 'durability' },
  ],
  ['a text', arg, ({ cos }) => cos.upsert(row, never('sync'))],
  ['null', arg, ({ cos }) => cos.upsert(row, never(null))],
  ['an array', arg, ({ cos }) => cos.upsert(row, never([]))],
  [
    'durability none',
    arg,
    ({ cos }) => cos.upsert(row, { durability: never('none') }),
    { path: 'durability' },
  ],
  [
    'durability true',
    arg,
    ({ cos }) => cos.upsert(row, { durability: never(true) }),
    { path: 'durability' },
  ],
  [
    'a version that is a number',
    arg,
    ({ cos }) => cos.upsert(row, { if: { version: never(1) } }),
    { path: 'if.version' },
  ],
  [
    'a negative version',
    arg,
    ({ cos }) => cos.upsert(row, { if: { version: -1n } }),
    { path: 'if.version' },
  ],
  [
    'a version beyond 64 bits',
    arg,
    ({ cos }) => cos.upsert(row, { if: { version: 2n ** 64n } }),
    { path: 'if.version' },
  ],
  [
    'a filter that is none as condition',
    'ERR_INVALID_FILTER',
    ({ cos }) => cos.upsert(row, { if: never({ lang: undefined }) }),
    { path: 'lang' },
  ],
  ['a condition that is a text', arg, ({ cos }) => cos.upsert(row, { if: never('x') })],
  [
    'a condition that does not hold',
    'ERR_CONDITION_FAILED',
    ({ cos }) => cos.upsert({ key: 'one', vector: good }, { if: { version: 0n } }),
    { index: 0, key: 'one', expected: 0 },
  ],
  ...(
    [
      ['null', null],
      ['a number', 7],
      ['a bigint', 7n],
      ['bytes', new Uint8Array(4)],
      ['an array', ['k']],
      ['an object', { key: 'k' }],
      ['a text object', Object('k') as unknown],
      ['the empty text', ''],
      ['half a character', 'a\ud800'],
    ] as const
  ).map(([title, value]): Case => [
    `an idempotency key that is ${title}`,
    arg,
    ({ cos }) => cos.upsert(row, { idempotencyKey: never(value) }),
    { path: 'idempotencyKey' },
  ]),
  [
    'an idempotency key of 129 bytes',
    limit,
    ({ cos }) => cos.upsert(row, { idempotencyKey: 'k'.repeat(129) }),
    { path: 'idempotencyKey', limit: 128, got: 129 },
  ],
  [
    'an idempotency key of 65 characters and 130 bytes',
    limit,
    ({ cos }) => cos.delete('one', { idempotencyKey: '\u00e9'.repeat(65) }),
    { path: 'idempotencyKey', limit: 128, got: 130 },
  ],
  [
    'an idempotency key of an ingest, which is many writes',
    arg,
    ({ cos }) => cos.ingest([row], never({ idempotencyKey: 'k' })),
    { path: 'idempotencyKey' },
  ],
  [
    'a signal that is none',
    arg,
    ({ cos }) => cos.upsert(row, { signal: never({}) }),
    { path: 'signal' },
  ],
  [
    'a signal that has fired',
    'ERR_ABORTED',
    ({ cos }) => cos.upsert(row, { signal: AbortSignal.abort() }),
  ],
  [
    'fieldsMode on an upsert',
    arg,
    ({ cos }) => cos.upsert(row, never({ fieldsMode: 'merge' })),
    { path: 'fieldsMode' },
  ],
  [
    'an unknown fieldsMode',
    arg,
    ({ cos }) => cos.update({ key: 'one' }, { fieldsMode: never('deep') }),
    { path: 'fieldsMode' },
  ],
  [
    'an unknown missing',
    arg,
    ({ cos }) => cos.update({ key: 'one' }, { missing: never('create') }),
    { path: 'missing' },
  ],
  ['chunkRows 0', arg, ({ cos }) => cos.ingest([row], { chunkRows: 0 }), { path: 'chunkRows' }],
  [
    'chunkRows over the limit',
    'ERR_LIMIT_EXCEEDED',
    ({ cos }) => cos.ingest([row], { chunkRows: 100_001 }),
    { path: 'chunkRows' },
  ],
  [
    'an unknown mode of ingest',
    arg,
    ({ cos }) => cos.ingest([row], { mode: never('insert') }),
    { path: 'mode' },
  ],
  [
    'fieldsMode of an ingest that is no update',
    arg,
    ({ cos }) => cos.ingest([row], { fieldsMode: 'replace' }),
    { path: 'fieldsMode' },
  ],
  [
    'missing of an ingest that is no update',
    arg,
    ({ cos }) => cos.ingest([row], { mode: 'add', missing: 'skip' }),
    { path: 'missing' },
  ],
  [
    'an unknown fieldsMode of an ingest',
    arg,
    ({ cos }) => cos.ingest([row], { mode: 'update', fieldsMode: never('deep') }),
    { path: 'fieldsMode', expected: 'merge | replace' },
  ],
  [
    'an unknown missing of an ingest',
    arg,
    ({ cos }) => cos.ingest([row], { mode: 'update', missing: never('create') }),
    { path: 'missing', expected: 'fail | skip' },
  ],
  [
    'onProgress that is no function',
    arg,
    ({ cos }) => cos.ingest([row], { onProgress: never(5) }),
    { path: 'onProgress' },
  ],
  [
    'an unknown option of ingest',
    arg,
    ({ cos }) => cos.ingest([row], never({ batchSize: 5 })),
    { path: 'batchSize' },
  ],
  ['a source that is a text', arg, ({ cos }) => cos.ingest(never('rows'))],
  ['a source that is a row', arg, ({ cos }) => cos.ingest(never(row))],
  ['a source that is nothing', arg, ({ cos }) => cos.ingest(never(undefined))],
])
