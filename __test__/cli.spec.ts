// The program `cairn`, run as its users run it: what is on stdout, what is on stderr, how it ends.
import { once } from 'node:events'
import { existsSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { PassThrough } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import test, { type ExecutionContext } from 'ava'
import { run } from '#ts/cli/run.js'
import { open, version } from '#ts/index.js'
import { exportTo } from '#ts/io/index.js'
import { ended } from './helpers/child.js'
import { cairn, cairnUnder, placeFor, put, startCairn, type Place } from './helpers/cli.js'
import { everyFileOf } from './helpers/directory.js'

// Windows has no SIGINT that one process could send another.
const unixTest = process.platform === 'win32' ? test.skip : test

const schema = {
  vectors: { body: { dim: 3, metric: 'cosine' } },
  fields: { title: 'text', year: 'int', seen: 'date', blob: 'bytes' },
} as const

/** A database with two collections, closed, in the place's default directory. */
async function placeWithData(t: ExecutionContext): Promise<Place> {
  const place = placeFor(t)
  const db = await open(join(place.cwd, 'cairn-data'))
  const docs = await db.collection('docs', schema)
  await docs.upsert([
    {
      key: 'a1',
      vector: [0.9, 0.1, 0],
      fields: {
        title: 'Tides, "high"\n\u001B[31m',
        year: 2024,
        seen: new Date(0),
        blob: new Uint8Array([1, 2]),
      },
    },
    { key: 'a2', vector: [0, 0.2, 0.9], fields: { title: 'Peaks', year: 2023 } },
  ])
  const ids = await db.collection('ids', { key: 'u64', vectors: { dim: 2, metric: 'l2' } })
  await ids.upsert([
    { key: 2n ** 64n - 1n, vector: [1, 2] },
    { key: 7n, vector: [3, 4] },
  ])
  await db.close()
  return place
}

test('collections are listed on stdout as a table, JSON, lines of JSON, or CSV', async (t) => {
  const place = await placeWithData(t)
  t.deepEqual(await cairn(place, 'collections'), {
    code: 0,
    signal: null,
    stderr: '',
    stdout:
      'name  records  key     vectors            fields                   error\n' +
      'docs        2  string  body f32 3 cosine  title, year, seen, blob\n' +
      'ids         2  u64     vector f32 2 l2\n',
  })
  const json = await cairn(place, 'collections', '--output', 'json')
  const infos = JSON.parse(json.stdout) as { name: string; count: number }[]
  t.deepEqual(
    infos.map(({ name, count }) => [name, count]),
    [
      ['docs', 2],
      ['ids', 2],
    ],
  )
  const ndjson = await cairn(place, 'collections', '--output', 'ndjson')
  t.deepEqual(
    ndjson.stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as unknown),
    infos,
  )
  const csv = await cairn(place, 'collections', '--output=csv')
  t.is(
    csv.stdout,
    'name,records,key,vectors,fields,error\n' +
      'docs,2,string,body f32 3 cosine,"title, year, seen, blob",\n' +
      'ids,2,u64,vector f32 2 l2,,\n',
  )
})

test('get prints records, and control characters of what is stored steer no terminal', async (t) => {
  const place = await placeWithData(t)
  const table = await cairn(place, 'get', 'docs', 'a1', 'a2', '--vectors')
  t.is(table.code, 0)
  t.deepEqual(table.stdout.split('\n'), [
    'key  version  title                      year  seen                      blob  body',
    'a1         1  Tides, "high"\\n\\u{1b}[31m  2024  1970-01-01T00:00:00.000Z  AQI=  [0.9,0.1,0]',
    'a2         1  Peaks                      2023                                  [0,0.2,0.9]',
    '',
  ])
  const csv = await cairn(place, 'get', 'docs', 'a1', '--select', 'title', '--output', 'csv')
  t.is(csv.stdout, 'key,version,title\na1,1,"Tides, ""high""\n\u001B[31m"\n')
  const json = await cairn(place, 'get', 'docs', 'a1', '--vectors', '--output', 'json')
  t.deepEqual(JSON.parse(json.stdout), [
    {
      key: 'a1',
      version: 1,
      fields: {
        title: 'Tides, "high"\n\u001B[31m',
        year: 2024,
        seen: '1970-01-01T00:00:00.000Z',
        blob: 'AQI=',
      },
      vectors: { body: [0.9, 0.1, 0] },
    },
  ])
})

test('keys of 64 bits print as their digits, in every form', async (t) => {
  const place = await placeWithData(t)
  const key = '18446744073709551615'
  for (const [output, expected] of [
    ['table', `                 key  version\n${key}        2\n                   7        2\n`],
    ['csv', `key,version\n${key},2\n7,2\n`],
    ['ndjson', `{"key":${key},"version":2,"fields":{}}\n{"key":7,"version":2,"fields":{}}\n`],
  ] as const) {
    const got = await cairn(place, 'get', 'ids', key, '7', '--output', output)
    t.is(got.stdout, expected)
  }
})

test('keys that are not there are told on stderr: 6 when some are missing, 5 when all are', async (t) => {
  const place = await placeWithData(t)
  const some = await cairn(place, 'get', 'docs', 'a2', 'zz', '--select', 'year', '--output', 'csv')
  t.deepEqual([some.code, some.stdout], [6, 'key,version,year\na2,1,2023\n'])
  t.is(some.stderr, 'cairn: not found: zz\n')
  const none = await cairn(place, 'get', 'docs', 'zz')
  t.deepEqual([none.code, none.stdout, none.stderr], [5, '', 'cairn: not found: zz\n'])
})

test('stats has a row a collection, and everything as JSON', async (t) => {
  const place = await placeWithData(t)
  const csv = await cairn(place, 'stats', '--output', 'csv')
  t.regex(csv.stdout, /^collection,count,[^\n]*\ndocs,2,[^\n]*\nids,2,[^\n]*\n$/)
  const json = await cairn(place, 'stats', '--output', 'json')
  const { version, collections } = JSON.parse(json.stdout) as {
    version: number
    collections: Record<string, { count: number }>
  }
  t.is(version, 2)
  t.is(collections['docs']?.count, 2)
  const lines = (await cairn(place, 'stats', '--output', 'ndjson')).stdout.trimEnd().split('\n')
  t.deepEqual(
    lines.map((line) => (JSON.parse(line) as { collection: string }).collection),
    ['docs', 'ids'],
  )
})

test('commands that read change nothing, and read beside a writer that holds the lock', async (t) => {
  const place = await placeWithData(t)
  const directory = join(place.cwd, 'cairn-data')
  const before = everyFileOf(directory)
  for (const command of [
    ['collections'],
    ['stats'],
    ['get', 'docs', 'a1'],
    ['export', 'docs', '-'],
    ['doctor'],
    ['verify'],
  ]) {
    t.is((await cairn(place, ...command)).code, 0, command[0])
  }
  t.deepEqual(everyFileOf(directory), before)

  const db = await open(directory)
  try {
    const docs = await db.collection('docs', schema)
    await docs.upsert({ key: 'a3', vector: [1, 1, 1], fields: { year: 2025 } })
    for (const command of [
      ['collections'],
      ['stats'],
      ['get', 'docs', 'a3'],
      ['export', 'docs', '-'],
      ['doctor'],
    ]) {
      const { code, stdout } = await cairn(place, ...command)
      t.deepEqual([code, stdout !== ''], [0, true], command[0])
    }
    const got = await cairn(place, 'get', 'docs', 'a3', '--output', 'csv')
    t.is(got.stdout, 'key,version,year\na3,3,2025\n')
    const verified = await cairn(place, 'verify')
    t.is(verified.code, 0)
    t.regex(verified.stderr, /another program writes this database: only its segments are checked/)
    t.regex(verified.stderr, /\b0 files .*; 5 records are in logs alone, which were not checked\n$/)
    const told = await cairn(place, 'verify', '--output', 'json')
    const { notes } = JSON.parse(told.stdout) as {
      notes: { kind: string; what: string; records: number }[]
    }
    t.deepEqual(
      notes.map(({ kind, records }) => [kind, records]),
      [
        ['unchecked', 3],
        ['unchecked', 2],
      ],
    )
    t.regex(notes[0]?.what ?? '', /segments checked: 0;.*; 3 records are in the log alone$/)
    for (const command of [['compact'], ['backup', 'backups']]) {
      const { code, stdout, stderr } = await cairn(place, ...command)
      t.deepEqual([code, stdout], [1, ''], command[0])
      t.regex(stderr, new RegExp(`^cairn: ERR_LOCKED: .*pid=${process.pid}`))
    }
  } finally {
    await db.close()
  }
})

test('verify ends with 6 and names the damage, as does doctor', async (t) => {
  const place = await placeWithData(t)
  t.is((await cairn(place, 'compact')).code, 0)
  const good = await cairn(place, 'verify')
  t.is(good.code, 0)
  t.notRegex(good.stdout, /problem/)
  t.regex(good.stderr, /^cairn: \d+ files and \d+ bytes checked, 0 problems\n$/)

  const directory = join(place.cwd, 'cairn-data')
  const names = readdirSync(directory, { recursive: true }).map(String)
  const segment = names.find((name) => name.endsWith('.seg')) ?? ''
  const bytes = readFileSync(join(directory, segment))
  bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1
  writeFileSync(join(directory, segment), bytes)
  const bad = await cairn(place, 'verify', '--output', 'json')
  t.is(bad.code, 6)
  const report = JSON.parse(bad.stdout) as {
    ok: boolean
    problems: { kind: string; file: string }[]
  }
  t.false(report.ok)
  t.is(report.problems[0]?.kind, 'damaged')
  t.true(report.problems[0]?.file.endsWith('.seg'))
  const ill = await cairn(place, 'doctor', '--output', 'ndjson')
  t.is(ill.code, 6)
  t.true(ill.stdout.includes('"code":"damaged"'))
})

test('compact merges everything, and prints the figures after it', async (t) => {
  const place = await placeWithData(t)
  const { code, stdout, stderr } = await cairn(place, 'compact', '--output', 'ndjson')
  t.deepEqual([code, stderr], [0, ''])
  for (const line of stdout.trimEnd().split('\n')) {
    const { memtableRows, segments } = JSON.parse(line) as {
      memtableRows: number
      segments: unknown[]
    }
    t.deepEqual([memtableRows, segments.length], [0, 1])
  }
})

test('a backup is restored to a database with the same records', async (t) => {
  const place = await placeWithData(t)
  const made = await cairn(place, 'backup', 'backups', '--name', 'first', '--output', 'json')
  t.is(made.code, 0, made.stderr)
  t.like(JSON.parse(made.stdout), { id: 1, name: 'first', version: 2 })
  const restored = await cairn(place, 'restore', 'backups', 'new', '--at', 'first', '--output=json')
  t.is(restored.code, 0, restored.stderr)
  t.like(JSON.parse(restored.stdout), { dir: join(place.cwd, 'new'), version: 2 })
  const [old, young] = [
    await cairn(place, 'export', 'docs', '-'),
    await cairn(place, 'export', 'docs', '-', '--dir', 'new'),
  ]
  t.is(young.stdout, old.stdout)
  const again = await cairn(place, 'restore', 'backups', 'new')
  t.deepEqual([again.code, again.stderr.includes('ERR_ALREADY_EXISTS')], [1, true])
  const absent = await cairn(place, 'restore', 'nowhere', 'other')
  t.is(absent.code, 5)
})

test('a backup is restored by a name that looks like a number or a time, and by a time', async (t) => {
  const place = await placeWithData(t)
  const names = ['2026', '2026-01-31', '2026-01-31-nightly']
  for (const [at, name] of names.entries()) {
    t.is((await cairn(place, 'backup', 'backups', '--name', name)).code, 0)
    // Each has one record more than the one before.
    put(join(place.cwd, 'rows.jsonl'), `{"key":"b${at}","vector":[1,1,1]}\n`)
    t.is((await cairn(place, 'import', 'docs', 'rows.jsonl')).code, 0)
  }
  for (const [at, name] of names.entries()) {
    const into = `new${at}`
    const restored = await cairn(place, 'restore', 'backups', into, '--name', name)
    t.is(restored.code, 0, restored.stderr)
    const json = await cairn(place, 'collections', into, '--output', 'json')
    const [docs] = JSON.parse(json.stdout) as { count: number }[]
    t.is(docs?.count, 2 + at, name)
  }
  const unknown = await cairn(place, 'restore', 'backups', 'other', '--name', '2027')
  t.deepEqual([unknown.code, unknown.stdout], [5, ''])
  // Any time from now on means the newest; a leap day is a day.
  for (const [at, time] of ['2096-02-29', '2096-02-29T12:30+02:00', '2096-02-29 12:30'].entries()) {
    const restored = await cairn(place, 'restore', 'backups', `by-time${at}`, '--at', time)
    t.is(restored.code, 0, restored.stderr)
  }
})

test('export and import carry every record, through files and through a pipe', async (t) => {
  const place = await placeWithData(t)
  const whole = await cairn(place, 'export', 'docs', '-')
  t.is(whole.code, 0)
  t.regex(whole.stderr, /^cairn: 2 records, \d+ bytes\n$/)
  const exported = await cairn(place, 'export', 'docs', 'docs.jsonl.gz', '--output', 'json')
  t.like(JSON.parse(exported.stdout), { file: 'docs.jsonl.gz', rows: 2, version: 1 })

  const read = await cairn(place, 'import', 'copy', 'docs.jsonl.gz', '--output', 'json')
  t.deepEqual(JSON.parse(read.stdout), { collection: 'copy', rows: 2, skipped: 0 })
  t.is((await cairn(place, 'export', 'copy', '-')).stdout, whole.stdout)

  const child = startCairn(place, 'import', 'piped', '-', '--dir', 'elsewhere')
  child.stdin?.end(whole.stdout)
  t.is((await ended(child)).code, 0)
  const piped = await cairn(place, 'export', 'piped', '-', '--dir', 'elsewhere')
  t.is(piped.stdout, whole.stdout)

  const some = await cairn(
    place,
    'export',
    'docs',
    '-',
    '--filter={"year":{"gte":2024}}',
    '--select=year',
    '--no-vectors',
    '--limit=5',
  )
  t.is(some.stdout.split('\n')[1], '{"key":"a1","fields":{"year":2024}}')
})

test('import leaves wrong rows out where it may, tells each, and ends with 6', async (t) => {
  const place = placeFor(t)
  put(join(place.cwd, 'schema.json'), { vectors: { dim: 2, metric: 'l2' } })
  put(
    join(place.cwd, 'rows.jsonl'),
    '{"key":"a","vector":[1,2]}\n{"key":"b","vector":[1]}\n{"key":"c","vector":[3,4]}\n',
  )
  const stopped = await cairn(place, 'import', 'docs', 'rows.jsonl', '--schema', 'schema.json')
  t.deepEqual([stopped.code, stopped.stdout], [1, ''])
  t.regex(stopped.stderr, /ERR_DIM_MISMATCH.*row=1/)
  const left = await cairn(place, 'import', 'docs', 'rows.jsonl', '--skip-errors', '--output=csv')
  t.deepEqual([left.code, left.stdout], [6, 'collection,rows,skipped\ndocs,2,1\n'])
  t.regex(left.stderr, /^cairn: skipped: .*row=1.*\n$/)
})

unixTest('SIGINT ends an import with 130; what was acknowledged stays', async (t) => {
  const place = placeFor(t)
  const header = { $cairn: { format: 1, schema: { vectors: { dim: 1, metric: 'l2' } } } }
  const child = startCairn(place, 'import', 'docs', '-')
  const end = ended(child)
  // More than one batch, and then silence.
  const rows = Array.from({ length: 3000 }, (_, n) => `{"key":"k${n}","vector":[${n}]}\n`)
  child.stdin?.write(`${JSON.stringify(header)}\n${rows.join('')}`)
  const hasRows = async (): Promise<boolean> =>
    (await cairn(place, 'get', 'docs', 'k0', '--output', 'csv')).code === 0
  for (let tries = 0; tries < 200 && !(await hasRows()); tries += 1) await delay(20)
  child.kill('SIGINT')
  t.deepEqual(await end, { code: 130, signal: null, stdout: '', stderr: 'cairn: interrupted\n' })
  t.is((await cairn(place, 'get', 'docs', 'k0', '--output', 'csv')).stdout, 'key,version\nk0,1\n')
})

test('whoever closes stdout early is not told about it', async (t) => {
  const place = placeFor(t)
  const db = await open(join(place.cwd, 'cairn-data'))
  const docs = await db.collection('docs', { vectors: { dim: 1, metric: 'l2' } })
  const text = 'x'.repeat(1000)
  await docs.upsert(
    Array.from({ length: 5000 }, (_, n) => ({ key: `k${n}`, vector: [n], fields: { text } })),
  )
  await db.close()
  for (const args of [
    ['export', 'docs', '-'],
    ['get', 'docs', '--output', 'json', ...Array.from({ length: 2000 }, (_, n) => `k${n}`)],
  ]) {
    const child = startCairn(place, ...args)
    let stderr = ''
    child.stderr?.on('data', (text) => (stderr += String(text)))
    child.stdout?.once('data', () => child.stdout?.destroy())
    const [code] = (await once(child, 'exit')) as [number | null]
    t.deepEqual([code, stderr], [0, ''], args[0])
  }
})

test('on a terminal progress is one line of stderr, and gone before the end', async (t) => {
  const place = placeFor(t)
  const db = await open(join(place.cwd, 'cairn-data'))
  const docs = await db.collection('docs', { vectors: { dim: 1, metric: 'l2' } })
  await docs.upsert(Array.from({ length: 2500 }, (_, n) => ({ key: `k${n}`, vector: [n] })))
  await db.close()
  for (const isTTY of [true, false]) {
    const [stdout, stderr] = [new PassThrough(), new PassThrough()]
    const code = await run(['export', 'docs', join(place.cwd, 'docs.jsonl'), '--output', 'csv'], {
      stdin: new PassThrough(),
      stdout,
      stderr: Object.assign(stderr, { isTTY }),
      signal: new AbortController().signal,
      platform: process.platform,
      ...place,
    })
    t.is(code, 0)
    t.regex(String(stdout.read()), /^file,rows,bytes,version\n[^\n]*,2500,\d+,1\n$/)
    const told = String(stderr.read() ?? '')
    if (isTTY) {
      const drawn = told.replaceAll('\r\u{1B}[K', '|')
      t.regex(drawn, /^(\|exporting: \d+ records, \d+ bytes)+\|$/)
    } else t.is(told, '')
  }
})

test('help and the version go to stdout; no command at all is a usage error', async (t) => {
  const place = placeFor(t)
  t.is((await cairn(place, '--version')).stdout, `${version}\n`)
  const all = await cairn(place, '--help')
  t.deepEqual([all.code, all.stderr], [0, ''])
  const names = ['collections', 'stats', 'get', 'import', 'export', 'verify', 'doctor', 'compact']
  for (const name of [...names, 'repair', 'backup', 'backups', 'restore', 'settings']) {
    t.regex(all.stdout, new RegExp(`^  ${name}\\b`, 'm'))
    const one = await cairn(place, name, '-h')
    t.deepEqual([one.code, one.stderr], [0, ''])
    t.true(one.stdout.startsWith(`Usage: cairn ${name}`), one.stdout)
  }
  const none = await cairn(place)
  t.deepEqual([none.code, none.stdout, none.stderr], [2, '', all.stdout])
})

test('a command that writes makes no database by a slip', async (t) => {
  const place = placeFor(t)
  for (const command of [
    ['compact'],
    ['compact', 'typo'],
    ['backup', 'backups', '--dir', 'typo'],
    ['import', 'docs', 'nowhere.jsonl'],
    ['import', 'docs', 'rows.what'],
    ['import', 'docs', 'rows.jsonl', '--mode', 'replace'],
  ]) {
    const { code, stdout } = await cairn(place, ...command)
    t.true(code === 5 || code === 2, command.join(' '))
    t.is(stdout, '')
    t.deepEqual(readdirSync(place.cwd), [])
  }
})

test('a database that is not there, and a collection that is not, end with 5', async (t) => {
  const place = await placeWithData(t)
  for (const command of [
    ['stats', 'nowhere'],
    ['collections', '--dir', 'nowhere'],
    ['verify', 'nowhere'],
    ['doctor', 'nowhere'],
    ['get', 'nothing', 'a1'],
    ['export', 'nothing', '-'],
  ]) {
    const { code, stdout, stderr } = await cairn(place, ...command)
    t.deepEqual([code, stdout], [5, ''], `${command.join(' ')}: ${stderr}`)
    t.regex(stderr, /^cairn: ERR_NOT_FOUND: /)
  }
  t.false(existsSync(join(place.cwd, 'nowhere')))
})

test('a file of the program is left whole when an export is refused', async (t) => {
  const place = await placeWithData(t)
  put(join(place.cwd, 'docs.jsonl'), 'mine')
  const { code } = await cairn(
    place,
    'export',
    'docs',
    'docs.jsonl',
    '--filter',
    '{"year":{"x":1}}',
  )
  t.is(code, 2)
  t.is(readFileSync(join(place.cwd, 'docs.jsonl'), 'utf8'), 'mine')
})

test('records that another program exported are read by the same command', async (t) => {
  const place = await placeWithData(t)
  const db = await open(join(place.cwd, 'cairn-data'))
  await exportTo(await db.openCollection('ids'), join(place.cwd, 'ids.jsonl'))
  await db.close()
  rmSync(join(place.cwd, 'cairn-data'), { recursive: true })
  t.is((await cairn(place, 'import', 'ids', 'ids.jsonl')).code, 0)
  const { stdout } = await cairnUnder(place, { CAIRN_OUTPUT: 'csv' }, 'get', 'ids', '7')
  t.is(stdout, 'key,version\n7,1\n')
})
