// Where the settings of the program `cairn` come from.
import { mkdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import test, { type ExecutionContext } from 'ava'
import { cairnUnder, placeFor, put, type Place } from './helpers/cli.js'

type Row = {
  readonly setting: string
  readonly value: string | null
  readonly source: string
  readonly where: string | null
}

/** A way to say a setting: what it adds to the line or the environment, or the file it writes. */
interface Source {
  readonly name: string
  /** The path that it says for `value`. */
  readonly dir: (place: Place, value: string) => string
  readonly say: (place: Place, setting: Setting, value: string) => Said
  readonly where: (place: Place, setting: Setting) => string
}

type Setting = 'dir' | 'output' | 'keyFile'

const flagOf = { dir: '--dir', output: '--output', keyFile: '--key-file' } as const
const variableOf = { dir: 'CAIRN_DIR', output: 'CAIRN_OUTPUT', keyFile: 'CAIRN_KEY_FILE' } as const

interface Said {
  readonly args?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
}

const projectFile = (place: Place): string => join(dirname(place.cwd), 'cairn.json')

/** Highest first. */
const sources: readonly Source[] = [
  {
    name: 'flag',
    dir: ({ cwd }, value) => join(cwd, value),
    say: (_, setting, value) => ({ args: [flagOf[setting], value] }),
    where: (_, setting) => flagOf[setting],
  },
  {
    name: 'environment',
    dir: ({ cwd }, value) => join(cwd, value),
    say: (_, setting, value) => ({ env: { [variableOf[setting]]: value } }),
    where: (_, setting) => variableOf[setting],
  },
  {
    name: 'project file',
    dir: ({ cwd }, value) => join(dirname(cwd), value),
    say: (place, setting, value) => {
      put(projectFile(place), { [setting]: value })
      return {}
    },
    where: projectFile,
  },
  {
    name: 'user file',
    dir: ({ userFile }, value) => join(dirname(userFile), value),
    say: (place, setting, value) => {
      put(place.userFile, { [setting]: value })
      return {}
    },
    where: ({ userFile }) => userFile,
  },
]

async function settingsOf(
  t: ExecutionContext,
  place: Place,
  said: readonly Said[] = [],
): Promise<Record<Setting, Row>> {
  const args = said.flatMap(({ args = [] }) => args)
  const env = Object.assign({}, ...said.map(({ env = {} }) => env)) as Record<string, string>
  const { code, stdout, stderr } = await cairnUnder(place, env, 'settings', ...args)
  t.is(code, 0, stderr)
  const rows = parse(stdout)
  return Object.fromEntries(rows.map((row) => [row.setting, row])) as Record<Setting, Row>
}

/** Rows in whatever form the settings themselves asked for. */
function parse(stdout: string): Row[] {
  if (stdout.startsWith('[')) return JSON.parse(stdout) as Row[]
  if (stdout.startsWith('{')) {
    const lines = stdout.trimEnd().split('\n')
    return lines.map((line) => JSON.parse(line) as Row)
  }
  const [, ...lines] = stdout.trimEnd().split('\n')
  return lines.map((line) => {
    const [setting = '', value = '', source = '', where] = line.split(/,| {2,}/)
    return { setting, value, source, where: where || null }
  })
}

test('data directory setting: without any source it is ./cairn-data, output is a table, and there is no key', async (t) => {
  const place = placeFor(t)
  const { dir, output } = await settingsOf(t, place)
  t.deepEqual(dir, {
    setting: 'dir',
    value: join(place.cwd, 'cairn-data'),
    source: 'default',
    where: null,
  })
  t.deepEqual([output.value, output.source], ['table', 'default'])
  const { keyFile } = await settingsOf(t, place, [{ args: ['--output', 'json'] }])
  t.deepEqual(keyFile, { setting: 'keyFile', value: null, source: 'default', where: null })
})

for (const [at, high] of sources.entries()) {
  test(`data directory setting: ${high.name} alone is taken, relative to where it stands`, async (t) => {
    const place = placeFor(t)
    const said = high.say(place, 'dir', 'mine')
    const { dir } = await settingsOf(t, place, [said])
    t.deepEqual(dir, {
      setting: 'dir',
      value: high.dir(place, 'mine'),
      source: high.name,
      where: high.where(place, 'dir'),
    })
  })

  for (const low of sources.slice(at + 1)) {
    test(`data directory setting: of ${high.name} and ${low.name}, ${high.name} wins`, async (t) => {
      const place = placeFor(t)
      const said = [low.say(place, 'dir', 'low'), high.say(place, 'dir', 'high')]
      const { dir } = await settingsOf(t, place, said)
      t.deepEqual([dir.value, dir.source], [high.dir(place, 'high'), high.name])
    })

    test(`key file setting: of ${high.name} and ${low.name}, ${high.name} wins`, async (t) => {
      const place = placeFor(t)
      const said = [low.say(place, 'keyFile', 'low.key'), high.say(place, 'keyFile', 'high.key')]
      const { keyFile } = await settingsOf(t, place, said)
      t.deepEqual(keyFile, {
        setting: 'keyFile',
        value: high.dir(place, 'high.key'),
        source: high.name,
        where: high.where(place, 'keyFile'),
      })
    })

    test(`output setting: of ${high.name} and ${low.name}, ${high.name} wins`, async (t) => {
      const place = placeFor(t)
      const said = [low.say(place, 'output', 'csv'), high.say(place, 'output', 'json')]
      const { output } = await settingsOf(t, place, said)
      t.deepEqual(
        [output.value, output.source, output.where],
        ['json', high.name, high.where(place, 'output')],
      )
    })
  }
}

test('data directory setting: all four at once, then without the highest, down to the default', async (t) => {
  for (const [at, highest] of sources.entries()) {
    const place = placeFor(t)
    const said = sources.slice(at).map((source, n) => source.say(place, 'dir', `d${at + n}`))
    const { dir } = await settingsOf(t, place, said)
    t.deepEqual([dir.value, dir.source], [highest.dir(place, `d${at}`), highest.name])
  }
})

test('settings are decided one by one: a file may say what a higher source does not', async (t) => {
  const place = placeFor(t)
  put(projectFile(place), { dir: 'theirs' })
  put(place.userFile, { dir: 'mine', output: 'json' })
  const { dir, output } = await settingsOf(t, place)
  t.deepEqual([dir.source, output.source], ['project file', 'user file'])
})

test('of project files the nearest counts, alone', async (t) => {
  const place = placeFor(t)
  put(projectFile(place), { dir: 'far', output: 'json' })
  put(join(place.cwd, 'cairn.json'), { dir: 'near' })
  const { dir, output } = await settingsOf(t, place)
  t.deepEqual([dir.value, output.source], [join(place.cwd, 'near'), 'default'])
})

test('a path of a file that is absolute, or a file: URL, is taken as it is', async (t) => {
  const place = placeFor(t)
  const elsewhere = join(place.cwd, 'else where')
  for (const dir of [elsewhere, pathToFileURL(elsewhere).href]) {
    put(projectFile(place), { dir })
    t.is((await settingsOf(t, place)).dir.value, elsewhere)
  }
})

test('an empty variable is none, and a byte order mark in a file is skipped', async (t) => {
  const place = placeFor(t)
  put(projectFile(place), '\uFEFF{"dir":"mine"}')
  const { dir } = await settingsOf(t, place, [{ env: { CAIRN_DIR: '' } }])
  t.is(dir.source, 'project file')
})

test('every command works on the directory of the settings', async (t) => {
  const place = placeFor(t)
  put(join(place.cwd, 'rows.jsonl'), '{"key":"a","vector":[1]}\n')
  put(join(place.cwd, 'schema.json'), { vectors: { dim: 1, metric: 'l2' } })
  put(projectFile(place), { dir: 'data', output: 'csv' })
  mkdirSync(join(place.cwd, 'deeper'))
  const deeper = { ...place, cwd: join(place.cwd, 'deeper') }
  const made = await cairnUnder(place, {}, 'import', 'docs', 'rows.jsonl', '--schema=schema.json')
  t.is(made.stdout, 'collection,rows,skipped\ndocs,1,0\n', made.stderr)
  t.is((await cairnUnder(deeper, {}, 'get', 'docs', 'a')).stdout, 'key,version\na,1\n')
  const other = await cairnUnder(deeper, { CAIRN_DIR: 'nothing' }, 'get', 'docs', 'a')
  t.deepEqual([other.code, other.stdout], [5, ''])
})
