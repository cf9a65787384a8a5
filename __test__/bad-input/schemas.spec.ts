// Wrong names and schemas.
import { type ErrorCode } from '#ts/index.js'
import { arg, limit, name, never, table, type Case, type World } from '../helpers/bad-input.js'

const names: readonly (readonly [string, ErrorCode, unknown])[] = [
  ['empty', name, ''],
  ['a dot', name, '.'],
  ['two dots', name, '..'],
  ['with a dot in front', name, '.hidden'],
  ['a/b', name, 'a/b'],
  ['a\\b', name, 'a\\b'],
  ['absolute', name, '/abs'],
  ['C:\\x', name, 'C:\\x'],
  ['%2e', name, '%2e'],
  ['NUL', name, 'a\0b'],
  ['newline', name, 'a\nb'],
  ['right-to-left override', name, 'a\u202eb'],
  ['emoji', name, '\u{1F600}'],
  ['a space', name, 'a '],
  ['a lone surrogate', name, '\ud800'],
  ['129 characters', limit, 'a'.repeat(129)],
  ['a number', name, 5],
  ['null', name, null],
  ['undefined', name, undefined],
  ['a symbol', name, Symbol('a')],
  ['an object', name, {}],
]
const plain = { vectors: { dim: 2, metric: 'l2' } } as const
for (const [title, code, bad] of names) {
  table(`collection name ${title}`, [
    ['collection', code, ({ db }) => db.collection(never(bad), plain)],
    ['createCollection', code, ({ db }) => db.createCollection(never(bad), plain)],
    ['renameCollection', code, ({ db }) => db.renameCollection('cos', never(bad))],
  ])
}

const makes = (schema: unknown) => (now: World) => now.db.createCollection('new', never(schema))
const vectorField = (settings: object): unknown => ({
  vectors: { v: { dim: 2, metric: 'l2', ...settings } },
})
/** Settings of a graph, each just below and just above what it may be. */
const bounds = [
  ['m', 1, 129],
  ['m0', 3, 513],
  ['mMax', 1, 129],
  ['efConstruction', 0, 10_001],
  ['levelMult', -0.1, 4.1],
] as const
table('schema', [
  ['nothing', arg, makes(undefined)],
  ['null', arg, makes(null)],
  ['a text', arg, makes('docs')],
  ['an array', arg, makes([])],
  ['empty', arg, makes({}), { path: 'vectors' }],
  [
    'an unknown member',
    arg,
    makes({ ...plain, vector: {} }),
    { path: 'vector', suggestion: 'vectors' },
  ],
  ['no vector field', arg, makes({ vectors: {} }), { path: 'vectors' }],
  ['vectors that are an array', arg, makes({ vectors: [] }), { path: 'vectors' }],
  ['a vector field that is a number', arg, makes({ vectors: { v: 3 } }), { path: 'vectors.v' }],
  ['no metric', arg, makes({ vectors: { dim: 3 } }), { path: 'vectors.metric' }],
  ['no dim', arg, makes({ vectors: { metric: 'l2' } }), { path: 'vectors.dim' }],
  ['an unknown setting', arg, makes(vectorField({ size: 3 })), { path: 'size' }],
  ['dim 0', arg, makes(vectorField({ dim: 0 })), { path: 'vectors.v.dim' }],
  ['dim -1', arg, makes(vectorField({ dim: -1 })), { path: 'vectors.v.dim' }],
  ['dim 1.5', arg, makes(vectorField({ dim: 1.5 })), { path: 'vectors.v.dim' }],
  ['dim NaN', arg, makes(vectorField({ dim: Number.NaN })), { path: 'vectors.v.dim' }],
  ['dim "3"', arg, makes(vectorField({ dim: '3' })), { path: 'vectors.v.dim' }],
  ['dim 3n', arg, makes(vectorField({ dim: 3n })), { path: 'vectors.v.dim' }],
  [
    'dim 65,537',
    limit,
    makes(vectorField({ dim: 65_537 })),
    { path: 'vectors.v.dim', limit: 65_536 },
  ],
  ['dim 1e9', limit, makes(vectorField({ dim: 1e9 })), { path: 'vectors.v.dim' }],
  ['dim 2 ** 53', limit, makes(vectorField({ dim: 2 ** 53 })), { path: 'vectors.v.dim' }],
  [
    'metric euclidean',
    arg,
    makes(vectorField({ metric: 'euclidean' })),
    { path: 'vectors.v.metric' },
  ],
  ['metric 0', arg, makes(vectorField({ metric: 0 })), { path: 'vectors.v.metric' }],
  ['metric COSINE', arg, makes(vectorField({ metric: 'COSINE' })), { path: 'vectors.v.metric' }],
  ['metric hamming', arg, makes(vectorField({ metric: 'hamming' })), { path: 'vectors.v.metric' }],
  ['type f16', arg, makes(vectorField({ type: 'f16' })), { path: 'vectors.v.type' }],
  ['type f64', arg, makes(vectorField({ type: 'f64' })), { path: 'vectors.v.type' }],
  ['index qg', arg, makes(vectorField({ index: 'qg' })), { path: 'vectors.v.index' }],
  ['index ivf', arg, makes(vectorField({ index: 'ivf' })), { path: 'vectors.v.index' }],
  ['index lsh', arg, makes(vectorField({ index: 'lsh' })), { path: 'vectors.v.index' }],
  ['index 5', arg, makes(vectorField({ index: 5 })), { path: 'vectors.v.index' }],
  [
    'index of another kind',
    arg,
    makes(vectorField({ index: { kind: 'ivf' } })),
    { path: 'vectors.v.index.kind' },
  ],
  ['an unknown index setting', arg, makes(vectorField({ index: { kind: 'hnsw', M: 16, q: 1 } }))],
  [
    'm 1e9',
    limit,
    makes(vectorField({ index: { kind: 'hnsw', m: 1e9 } })),
    { path: 'vectors.v.index.m' },
  ],
  [
    'efConstruction NaN',
    arg,
    makes(vectorField({ index: { kind: 'hnsw', efConstruction: Number.NaN } })),
  ],
  ...bounds.flatMap(([setting, below, above]): Case[] => [
    [
      `${setting} ${below}`,
      arg,
      makes(vectorField({ index: { kind: 'hnsw', [setting]: below } })),
      { path: `vectors.v.index.${setting}` },
    ],
    [
      `${setting} ${above}`,
      setting === 'levelMult' ? arg : limit,
      makes(vectorField({ index: { kind: 'hnsw', [setting]: above } })),
      { path: `vectors.v.index.${setting}` },
    ],
  ]),
  ['levelMult -1', arg, makes(vectorField({ index: { kind: 'hnsw', levelMult: -1 } }))],
  ['quantize sq8', arg, makes(vectorField({ quantize: 'sq8' })), { path: 'vectors.v.quantize' }],
  ['quantize zip', arg, makes(vectorField({ quantize: 'zip' })), { path: 'vectors.v.quantize' }],
  [
    'quantize pq',
    arg,
    makes(vectorField({ quantize: { kind: 'pq' } })),
    { path: 'vectors.v.quantize' },
  ],
  ['key uuid', arg, makes({ ...plain, key: 'uuid' }), { path: 'key' }],
  ['key null', arg, makes({ ...plain, key: null }), { path: 'key' }],
  ['extra keep', arg, makes({ ...plain, extra: 'keep' }), { path: 'extra' }],
  ['fields that are an array', arg, makes({ ...plain, fields: [] }), { path: 'fields' }],
  [
    'field type string',
    arg,
    makes({ ...plain, fields: { a: 'string' } }),
    { path: 'fields.a', field: 'a' },
  ],
  [
    'field type txt',
    arg,
    makes({ ...plain, fields: { a: 'txt' } }),
    { field: 'a', suggestion: 'text' },
  ],
  ['field type text[][]', arg, makes({ ...plain, fields: { a: 'text[][]' } }), { field: 'a' }],
  ['field type 5', arg, makes({ ...plain, fields: { a: 5 } }), { field: 'a' }],
  ['an empty field name', name, makes({ ...plain, fields: { '': 'int' } })],
  ['a field name with a dollar in front', name, makes({ ...plain, fields: { $key: 'int' } })],
  ['an empty vector field name', name, makes({ vectors: { '': { dim: 2, metric: 'l2' } } })],
  ['another for one that exists', 'ERR_SCHEMA_MISMATCH', ({ db }) => db.collection('cos', plain)],
  ['for a name that exists', 'ERR_ALREADY_EXISTS', ({ db }) => db.createCollection('cos', plain)],
])

table('collection', [
  ['that is not there', 'ERR_NOT_FOUND', ({ db }) => db.openCollection('nobody')],
  ['that is not there, without a schema', 'ERR_NOT_FOUND', ({ db }) => db.collection('nobody')],
  ['dropped that is not there', 'ERR_NOT_FOUND', ({ db }) => db.dropCollection('nobody')],
  [
    'renamed that is not there',
    'ERR_NOT_FOUND',
    ({ db }) => db.renameCollection('nobody', 'somebody'),
  ],
  [
    'renamed to one that is there',
    'ERR_ALREADY_EXISTS',
    ({ db }) => db.renameCollection('cos', 'ids'),
  ],
])
