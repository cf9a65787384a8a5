// Command lines, variables and files of settings that are wrong: 2, a line that says what, nothing on stdout,
// and nothing is made.
import { mkdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { row } from '../helpers/bad-input.js'
import { cairnUnder, placeFor, put, type Place } from '../helpers/cli.js'
import { everyFileOf } from '../helpers/directory.js'

interface Wrong {
  readonly args?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  readonly files?: (place: Place) => void
}

const inProject = (content: unknown): Wrong => ({
  files: ({ cwd }) => put(join(dirname(cwd), 'cairn.json'), content),
})
const inUser = (content: unknown): Wrong => ({ files: ({ userFile }) => put(userFile, content) })

const cases: readonly (readonly [title: string, wrong: Wrong, says: RegExp])[] = [
  ['a mistyped command', { args: ['statz'] }, /there is no command "statz"; did you mean stats\?/],
  ['a command far from any', { args: ['frobnicate'] }, /there is no command "frobnicate"\n/],
  ['a command of a later version', { args: ['serve'] }, /there is no command "serve"/],
  ['a name of Object.prototype', { args: ['constructor'] }, /there is no command "constructor"/],
  ['an empty command', { args: [''] }, /there is no command ""/],
  ['flags and no command', { args: ['--dir', 'x'] }, /which command\?/],
  [
    'a mistyped flag',
    { args: ['stats', '--outptu', 'csv'] },
    /"--outptu"; did you mean --output\?/,
  ],
  ['a flag of another command', { args: ['stats', '--vectors'] }, /no flag of stats "--vectors"/],
  [
    'a flag named __proto__',
    { args: ['stats', '--__proto__', 'x'] },
    /no flag of stats "--__proto__"/,
  ],
  ['a short flag that is none', { args: ['stats', '-x'] }, /no flag of stats "-x"/],
  ['a flag without its value', { args: ['stats', '--output'] }, /--output needs a value/],
  ['a flag in place of a value', { args: ['stats', '--dir', '--output'] }, /--dir needs a value/],
  [
    'a value for a switch',
    { args: ['get', 'c', 'k', '--vectors=yes'] },
    /--vectors takes no value/,
  ],
  ['a flag twice', { args: ['stats', '--dir', 'a', '--dir', 'b'] }, /--dir is given twice/],
  ['no collection', { args: ['get'] }, /get needs <collection>/],
  ['no key', { args: ['get', 'docs'] }, /get needs <key>/],
  ['no target', { args: ['backup'] }, /backup needs <target>/],
  ['no directory to restore to', { args: ['restore', 'backups'] }, /restore needs <dir>/],
  ['a word too many', { args: ['stats', 'data', 'more'] }, /stats does not take "more"/],
  [
    'the directory twice',
    { args: ['stats', 'a', '--dir', 'b'] },
    /given twice, by --dir and by itself/,
  ],
  ['an empty directory', { args: ['stats', '--dir='] }, /--dir: .*empty/],
  ['a database in memory', { args: ['stats', ':memory:'] }, /<dir>: a database in memory/],
  [
    'a URL of a server',
    { args: ['stats', 'https://localhost'] },
    /<dir>: of URLs only those of files/,
  ],
  [
    'an output that is none',
    { args: ['stats', '--output', 'xml'] },
    /--output: output must be table, json, ndjson, csv, not "xml"/,
  ],
  [
    'a limit of zero',
    { args: ['export', 'c', '-', '--limit', '0'] },
    /--limit must be a whole number/,
  ],
  [
    'a limit of words',
    { args: ['export', 'c', '-', '--limit', '1e3'] },
    /--limit must be .*not 1e3/,
  ],
  [
    'a limit beyond numbers',
    { args: ['export', 'c', '-', '--limit', '9'.repeat(30)] },
    /--limit must be/,
  ],
  [
    'a filter that is no JSON',
    { args: ['export', 'c', '-', '--filter', '{'] },
    /--filter: not JSON/,
  ],
  [
    'a format that is none',
    { args: ['export', 'c', '-', '--format', 'xml'] },
    /format is not known/,
  ],
  [
    'a name that tells no format',
    { args: ['export', 'c', 'docs.what'] },
    /does not tell the format/,
  ],
  ['a mode that is none', { args: ['import', 'c', '-', '--mode', 'merge'] }, /--mode is not known/],
  ['to resume a stream', { args: ['import', 'c', '-', '--resume'] }, /--resume needs a file/],
  ['a time that is none', { args: ['restore', 'b', 'd', '--at', '2026-13-45'] }, /no such time/],
  [
    'a day that no month has',
    { args: ['restore', 'b', 'd', '--at', '2026-02-31'] },
    /no such time: 2026-02-31; a name is given by --name/,
  ],
  [
    'a time of a day that no month has',
    { args: ['restore', 'b', 'd', '--at', '2026-02-31T12:00:00Z'] },
    /no such time/,
  ],
  [
    'an hour that no day has',
    { args: ['restore', 'b', 'd', '--at', '2026-02-28T25:00:00Z'] },
    /no such time/,
  ],
  [
    'a name that begins like a time',
    { args: ['restore', 'b', 'd', '--at', '2026-01-31-nightly'] },
    /no such time: 2026-01-31-nightly; a name is given by --name/,
  ],
  [
    'a name that a lenient parser takes as a time',
    { args: ['restore', 'b', 'd', '--at', '2026-01-31 (nightly)'] },
    /no such time/,
  ],
  [
    'two ways to say a version',
    { args: ['restore', 'b', 'd', '--at', '1', '--name', 'first'] },
    /--name and --at each say which version/,
  ],
  [
    'an id that is none',
    { args: ['restore', 'b', 'd', '--id', 'x'] },
    /--id must be a whole number/,
  ],
  ['an empty key file', { args: ['stats', '--key-file='] }, /--key-file: .*empty/],
  [
    'a key of a vault',
    { args: ['stats', '--key-file', 'vault://key'] },
    /--key-file: of URLs only those of files/,
  ],
  [
    'a key file of the wrong type',
    inProject({ keyFile: [1] }),
    /cairn\.json: keyFile must be a path, not array/,
  ],
  [
    'a key file that is a directory',
    { args: ['stats', '--key-file', '.'] },
    /--key-file: .* cannot be read/,
  ],
  ...['', 'k'.repeat(31), 'k'.repeat(33), 'f'.repeat(63), 'f'.repeat(66), 'g'.repeat(64)].map(
    (content): (typeof cases)[number] => [
      `a key file with ${content.slice(0, 1)} ${content.length} times`,
      { args: ['stats', '--key-file', 'key'], files: ({ cwd }) => put(join(cwd, 'key'), content) },
      /^cairn: --key-file: [^\n]*key: a key is 32 bytes, or 64 hex digits\n/,
    ],
  ),
  ['a wrong CAIRN_OUTPUT', { env: { CAIRN_OUTPUT: 'xml' } }, /CAIRN_OUTPUT: output must be/],
  ['a wrong CAIRN_DIR', { env: { CAIRN_DIR: 's3://bucket' } }, /CAIRN_DIR: of URLs/],
  [
    'a wrong variable below a right flag',
    { env: { CAIRN_OUTPUT: 'xml' }, args: ['settings', '--output', 'csv'] },
    /CAIRN_OUTPUT: output must be/,
  ],
  ['a project file that is no JSON', inProject('{'), /cairn\.json: not JSON/],
  ['an empty project file', inProject(''), /cairn\.json: not JSON/],
  ['a project file that is an array', inProject([]), /cairn\.json: must be an object, not array/],
  ['a project file that is null', inProject('null'), /cairn\.json: must be an object, not null/],
  [
    'an unknown member',
    inProject({ outptu: 'csv' }),
    /cairn\.json: there is no member "outptu"; did you mean output\?/,
  ],
  [
    'a member named __proto__',
    inProject('{"__proto__":{}}'),
    /cairn\.json: there is no member "__proto__"/,
  ],
  [
    'a directory of the wrong type',
    inProject({ dir: 5 }),
    /cairn\.json: dir must be a path, not 5/,
  ],
  [
    'a directory that is null',
    inProject({ dir: null }),
    /cairn\.json: dir must be a path, not null/,
  ],
  ['an empty directory in a file', inProject({ dir: '' }), /cairn\.json: .*empty/],
  ['an output of the wrong type', inProject({ output: ['csv'] }), /cairn\.json: output must be/],
  [
    'a project file that is a directory',
    { files: ({ cwd }) => mkdirSync(join(cwd, 'cairn.json')) },
    /cairn\.json: cannot be read/,
  ],
  ['a user file that is no JSON', inUser('dir = x'), /config\.json: not JSON/],
  [
    'an unknown member of the user file',
    inUser({ output: 'csv', colour: true }),
    /config\.json: there is no member "colour"/,
  ],
  [
    'a wrong user file below a right flag',
    { ...inUser({ output: 1 }), args: ['settings', '--output', 'csv'] },
    /config\.json: output must be/,
  ],
  ['a control character in a word', { args: ['\u001B[2J'] }, /no command "\\u001b\[2J"/],
]

for (const [title, { args = ['settings'], env = {}, files }, says] of cases) {
  row(`a command line with ${title}`, async (t) => {
    const place = placeFor(t)
    files?.(place)
    const root = dirname(dirname(place.cwd))
    const before = everyFileOf(root)
    const { code, stdout, stderr } = await cairnUnder(place, env, ...args)
    t.deepEqual([code, stdout], [2, ''], stderr)
    t.regex(stderr, says)
    t.true(stderr.startsWith('cairn: '))
    t.deepEqual(everyFileOf(root), before)
  })
}
