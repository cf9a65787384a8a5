// docs/troubleshooting.md: each command that stands beside a symptom is run, where it can be with the symptom;
// a failed log and a full disk are made in crates/engine/tests.
import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  cpSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import {
  doctor,
  open,
  repair,
  verify,
  type Collection,
  type Database,
  type Finding,
  type OpenOptions,
} from '#ts/index.js'
import { temporaryDirectory } from './helpers/home.js'

const guide = readFileSync(join(import.meta.dirname, '../../docs/troubleshooting.md'), 'utf8')

/** Rows of the table: what is seen, and the commands beside it. */
const symptoms = new Map(
  guide
    .split('\n')
    .filter((line) => line.startsWith('| ') && !line.startsWith('| Seen'))
    .map((line) => {
      const [, seen = '', ...rest] = line.split(' | ').join('|').split('|')
      const commands = [...rest.join('|').matchAll(/`(await [^`]+)`/g)].map(
        ([, text]) => text ?? '',
      )
      return [seen.trim(), commands] as const
    }),
)

const schema = { vectors: { dim: 4, metric: 'l2' }, fields: { n: 'int' } } as const
const key = new Uint8Array(32).fill(7)

function rows(count: number) {
  return Array.from({ length: count }, (_, n) => ({
    key: `k${n}`,
    vector: [n, 1, 2, 3],
    fields: { n },
  }))
}

interface Stage {
  readonly path: string
  readonly target: string
  readonly encryption?: OpenOptions['encryption']
  /** Undefined where the database is closed. */
  readonly db?: Database
  readonly docs?: Collection<typeof schema>
  readonly open?: (target: string) => Promise<never>
}

/** As `open` where the addon is missing: in a process of its own, because this one has it. */
async function openWithoutAddon(target: string): Promise<never> {
  const program = `
    const { open } = await import(process.argv[1])
    await open(process.argv[2]).catch(({ code, message, details }) =>
      console.log(JSON.stringify({ code, message, details })))`
  const entry = new URL('../index.js', import.meta.url).href
  const { stdout } = spawnSync(
    process.execPath,
    ['--input-type=module', '-e', program, entry, target],
    { encoding: 'utf8', env: { ...process.env, CAIRN_NATIVE_PATH: '/nowhere/cairndb.node' } },
  )
  throw Object.assign(new Error('not loaded'), JSON.parse(stdout) as object)
}

async function opened(
  t: ExecutionContext,
  options: OpenOptions = {},
): Promise<Required<Omit<Stage, 'encryption' | 'open'>>> {
  const folder = temporaryDirectory(t)
  const [path, target] = [join(folder, 'data'), join(folder, 'saved')]
  const db = await open(path, options)
  t.teardown(() => db.close().catch(() => {}))
  const docs = await db.collection('docs', schema)
  await docs.upsert(rows(1500))
  return { path, target, db, docs }
}

async function closed(t: ExecutionContext, options?: OpenOptions): Promise<Stage> {
  const { path, target, db } = await opened(t, options)
  await db.compact()
  await db.close()
  return { path, target }
}

function fileOf(directory: string, ending: string): string {
  const names = readdirSync(directory, { recursive: true, encoding: 'utf8' }).toSorted()
  const name = names.find((each) => each.endsWith(ending))
  if (name === undefined) throw new Error(`no ${ending}`)
  return join(directory, name)
}

function change(file: string, at: number, value: number): void {
  const bytes = readFileSync(file)
  bytes[at] = value
  writeFileSync(file, bytes)
}

type Answers = readonly unknown[]
type Scenario = (t: ExecutionContext) => Promise<[Stage, (answers: Answers) => void]>

function has(t: ExecutionContext, answer: unknown, ...codes: string[]): void {
  const found = (answer as Finding[]).map(({ code }) => code)
  for (const code of codes) t.true(found.includes(code), `${code}: ${found.join(', ')}`)
}

const scenarios: Readonly<Record<string, Scenario>> = {
  '`ERR_CORRUPT` at open or of a read': async (t) => {
    const stage = await closed(t)
    const segment = fileOf(stage.path, '.seg')
    change(segment, 100, (readFileSync(segment)[100] ?? 0) ^ 1)
    return [
      stage,
      ([report, saved]) => {
        t.like(report, { ok: false })
        t.like(saved, { collections: [{ name: 'docs' }] })
      },
    ]
  },
  'a directory has files nobody knows': async (t) => {
    const stage = await closed(t)
    writeFileSync(join(stage.path, 'notes.txt'), 'mine')
    return [stage, ([found]) => has(t, found, 'foreign-file')]
  },
  'a process was killed': async (t) => {
    const { path, target } = await opened(t)
    // What lies there while it is open is what a killed process leaves, but for the lock.
    const copy = `${path}-copy`
    cpSync(path, copy, { recursive: true })
    return [{ path: copy, target }, ([found]) => has(t, found, 'lock-left-behind')]
  },
  '`ERR_UNSUPPORTED_FORMAT`': async (t) => {
    const stage = await closed(t)
    const golden = join(import.meta.dirname, '../../crates/storage/tests/golden/v1')
    t.true(readdirSync(golden).length > 0)
    // A flag that nobody knows, in a header that is sealed again.
    const file = join(stage.path, 'CURRENT')
    const bytes = readFileSync(file)
    bytes[10] = 0x80
    bytes.writeUInt32LE(crc32c([...bytes.subarray(0, 12), ...bytes.subarray(16)]), 12)
    writeFileSync(file, bytes)
    return [stage, ([found]) => has(t, found, 'newer-format')]
  },
  '`ERR_INVALID_ARGUMENT` at open with `keyId`': async (t) => {
    const stage = await closed(t, { encryption: { key } })
    await t.throwsAsync(() => open(stage.path), { code: 'ERR_INVALID_ARGUMENT' })
    return [
      { ...stage, encryption: { key } },
      ([report]) => {
        t.like(report, { ok: true, encryption: 'checksums' })
      },
    ]
  },
  '`ERR_LOCKED`': async (t) => {
    const { path, target, db } = await opened(t)
    setTimeout(() => void db.close(), 500)
    return [{ path, target }, ([found]) => has(t, found, 'locked')]
  },
  '`ERR_NO_SPACE`, or little space': async (t) => {
    const { path, target, db, docs } = await opened(t)
    const copy = `${path}-copy`
    cpSync(path, copy, { recursive: true })
    return [
      { path: copy, target, db, docs },
      ([found, stats]) => {
        has(t, found, 'kernels')
        const { freeBytes, headroomBytes, storedBytes } = stats as Awaited<
          ReturnType<Database['stats']>
        >
        t.true((freeBytes ?? 0) > 0 && headroomBytes === 2 * storedBytes && storedBytes > 0)
      },
    ]
  },
  '`ERR_CLOSED` of writes while reads go on': async (t) => {
    const stage = await opened(t)
    return [stage, ([found]) => has(t, found, 'kernels')]
  },
  '`WARN_SLOW_SYNC`, or writes are slow': async (t) => {
    const stage = await opened(t)
    return [stage, ([stats]) => t.true((stats as { longestSyncMs: number }).longestSyncMs > 0)]
  },
  'searches are slow': async (t) => {
    const stage = await opened(t)
    return [stage, ([found]) => has(t, found, 'kernels')]
  },
  'much disk for few records': async (t) => {
    const stage = await opened(t, { compaction: 'none' })
    await stage.docs.compact()
    await stage.docs.delete(rows(1000).map((row) => row.key))
    return [
      stage,
      ([stats]) => {
        const { liveBytes, deadBytes } = stats as { liveBytes: number; deadBytes: number }
        t.true(deadBytes > liveBytes)
      },
    ]
  },
  'opening takes long': async (t) => {
    const { path, target, db, docs } = await opened(t)
    for (let turn = 0; turn < 40; turn += 1) await docs.upsert(rows(1500))
    const copy = `${path}-copy`
    cpSync(path, copy, { recursive: true })
    return [{ path: copy, target, db, docs }, ([found]) => has(t, found, 'large-log')]
  },
  '`lastBackgroundError` in `stats()`': async (t) => {
    const stage = await opened(t)
    return [
      stage,
      ([stats]) => {
        t.like(stats, { lastBackgroundError: null, lastBackgroundErrorAt: null })
      },
    ]
  },
  'memory grows': async (t) => {
    const stage = await opened(t)
    await stage.docs.compact()
    await stage.docs.upsert(rows(10))
    return [
      stage,
      ([ofDocs, ofDb]) => {
        const docs = ofDocs as Awaited<ReturnType<Collection['stats']>>
        t.true(docs.vectorBytes > 0 && docs.graphBytes > 0 && docs.memtableBytes > 0)
        const { blockCache } = ofDb as Awaited<ReturnType<Database['stats']>>
        t.true(blockCache.bytes <= blockCache.bytesMax)
      },
    ]
  },
  'the package does not load: `ERR_UNSUPPORTED_PLATFORM`': async (t) => {
    const stage = await closed(t)
    return [
      { ...stage, open: openWithoutAddon },
      ([details]) => {
        const { platform, tried, supported } = details as Record<string, string>
        t.regex(String(platform), /^[a-z\d]+-[a-z\d]+/)
        t.true(tried?.includes('/nowhere/cairndb.node'))
        t.true(supported?.includes('linux-x64-gnu'))
      },
    ]
  },
  'other users can read the directory': async (t) => {
    const stage = await closed(t)
    chmodSync(stage.path, 0o755)
    return [stage, ([found]) => has(t, found, 'loose-permissions')]
  },
}

/** Castagnoli's, bit by bit. */
function crc32c(bytes: readonly number[]): number {
  let crc = 0xffffffff
  for (const byte of bytes) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0)
  }
  return (crc ^ 0xffffffff) >>> 0
}

const AsyncFunction = (async () => {}).constructor as new (
  ...text: string[]
) => (...values: unknown[]) => Promise<unknown>

test('every symptom of the guide has a test, and a command', (t) => {
  t.deepEqual([...symptoms.keys()].toSorted(), Object.keys(scenarios).toSorted())
  for (const [seen, commands] of symptoms) t.true(commands.length > 0, seen)
})

for (const [seen, commands] of symptoms) {
  test.serial(`commands for: ${seen}`, async (t) => {
    const make = scenarios[seen]
    if (make === undefined) return t.fail('no test')
    const [stage, expect] = await make(t)
    mkdirSync(join(stage.target, '..'), { recursive: true })
    const answers: unknown[] = []
    for (const command of commands) {
      const given = { doctor, open, repair, verify, ...stage }
      const run = new AsyncFunction(...Object.keys(given), `return ${command}`)
      const answer = await run(...Object.values(given))
      answers.push(answer)
      if (command.includes('open(path')) await (answer as Database).close()
    }
    expect(answers)
    rmSync(stage.target, { recursive: true, force: true })
    return undefined
  })
}
