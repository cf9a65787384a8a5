// The command line, read by the tables of the commands.
import { parseArgs } from 'node:util'
import { commands } from './commands/index.js'
import { UsageError, type Argument, type Command, type Flag, type Flags } from './command.js'
import { unknownWord, type GivenSettings } from './settings.js'

/** Flags of every command. */
export const commonFlags: Readonly<Record<string, Flag>> = {
  dir: { type: 'string', value: 'DIR', help: 'the data directory' },
  output: { type: 'string', value: 'FORM', help: 'table, json, ndjson or csv' },
  'key-file': {
    type: 'string',
    value: 'PATH',
    help: 'the key of an encrypted database: 32 bytes or 64 hex digits, in a file that only you can read',
  },
  help: { type: 'boolean', help: 'say how it is used, and do nothing' },
  version: { type: 'boolean', help: 'say which version this is, and do nothing' },
}

/** A command line that was understood. */
export type Parsed =
  | { readonly wish: 'help'; readonly command: Command | undefined }
  | { readonly wish: 'version' }
  | {
      readonly wish: 'run'
      readonly command: Command
      readonly words: Readonly<Record<string, readonly string[]>>
      readonly flags: Flags
      readonly settings: GivenSettings
    }

/** A flag as it stands on the line. */
interface Token {
  readonly name: string
  readonly rawName: string
  readonly value: string | undefined
  readonly inlineValue: boolean | undefined
}

/** @throws {UsageError} */
export function parse(argv: readonly string[]): Parsed {
  const known = { ...commonFlags }
  for (const { flags } of commands) Object.assign(known, flags)
  const { positionals, tokens } = parseArgs({
    args: [...argv],
    options: {
      ...Object.fromEntries(Object.entries(known).map(([name, { type }]) => [name, { type }])),
      help: { type: 'boolean', short: 'h' },
    },
    allowPositionals: true,
    strict: false,
    tokens: true,
  })
  const options = tokens.filter((token) => token.kind === 'option')
  const [name, ...words] = positionals
  const command = commands.find((one) => one.name === name)
  if (name !== undefined && command === undefined) {
    const all = commands.map((one) => one.name)
    throw new UsageError(unknownWord('command', name, all))
  }
  const flags = new GivenFlags(options, { ...commonFlags, ...command?.flags }, command)
  if (flags.has('help')) return { wish: 'help', command }
  if (flags.has('version')) return { wish: 'version' }
  if (command === undefined) throw new UsageError('which command?')
  return { wish: 'run', command, flags, ...named(command, words, flags) }
}

class GivenFlags implements Flags {
  readonly #values = new Map<string, string[]>()

  constructor(
    tokens: readonly Token[],
    known: Readonly<Record<string, Flag>>,
    command: Command | undefined,
  ) {
    for (const { name, rawName, value, inlineValue } of tokens) {
      const flag = Object.hasOwn(known, name) ? known[name] : undefined
      if (flag === undefined) {
        const of = command === undefined ? 'flag' : `flag of ${command.name}`
        const all = Object.keys(known).map((one) => `--${one}`)
        throw new UsageError(unknownWord(of, rawName, all))
      }
      if (flag.type === 'boolean' && value !== undefined) {
        throw new UsageError(`${rawName} takes no value`)
      }
      if (flag.type === 'string' && value === undefined) {
        throw new UsageError(`${rawName} needs a value`)
      }
      // Whoever forgets a value must not lose the flag behind it.
      if (value !== undefined && inlineValue !== true && /^-./.test(value)) {
        throw new UsageError(
          `${rawName} needs a value; one that begins with - is ${rawName}=${value}`,
        )
      }
      const values = this.#values.get(name) ?? []
      if (values.length > 0 && flag.multiple !== true && flag.type === 'string') {
        throw new UsageError(`${rawName} is given twice`)
      }
      this.#values.set(name, [...values, value ?? ''])
    }
  }

  has(name: string): boolean {
    return this.#values.has(name)
  }

  text(name: string): string | undefined {
    return this.#values.get(name)?.[0]
  }

  list(name: string): readonly string[] | undefined {
    return this.#values.get(name)
  }

  count(name: string): number | undefined {
    const text = this.text(name)
    if (text === undefined) return undefined
    const value = Number(text)
    if (/^\d+$/.test(text) && Number.isSafeInteger(value) && value >= 1) return value
    throw new UsageError(`--${name} must be a whole number of at least 1, not ${text}`)
  }
}

/** Gives words their names; one that names the data directory is the setting. */
function named(
  { name, arguments: wanted }: Command,
  given: readonly string[],
  flags: Flags,
): { words: Record<string, readonly string[]>; settings: GivenSettings } {
  const words: Record<string, readonly string[]> = {}
  let rest = given
  for (const { name: word, takes } of wanted) {
    const taken = takes === 'many' ? rest : rest.slice(0, 1)
    if (taken.length === 0 && takes !== 'optional') throw new UsageError(`${name} needs <${word}>`)
    words[word] = taken
    rest = rest.slice(taken.length)
  }
  if (rest.length > 0) throw new UsageError(`${name} does not take ${JSON.stringify(rest[0])}`)
  const [place] = words['dir'] ?? []
  if (place !== undefined && flags.has('dir')) {
    throw new UsageError('the directory is given twice, by --dir and by itself')
  }
  const byFlag = (flag: string): { value: string; where: string } | undefined => {
    const value = flags.text(flag)
    return value === undefined ? undefined : { value, where: `--${flag}` }
  }
  return {
    words,
    settings: {
      dir: place === undefined ? byFlag('dir') : { value: place, where: '<dir>' },
      output: byFlag('output'),
      keyFile: byFlag('key-file'),
    },
  }
}

/** How the program, or one command, is used. */
export function help(command: Command | undefined): string {
  if (command === undefined) {
    return [
      'Usage: cairn <command> [flags]',
      '',
      ...columns(commands.map((one) => [usageOf(one), one.summary])),
      '',
      'Flags of all commands:',
      ...flagLines(commonFlags),
      '',
      'The data directory, the form of the output and the key file come from flags, then CAIRN_DIR, CAIRN_OUTPUT and',
      "CAIRN_KEY_FILE, then cairn.json in this folder or the nearest above, then the user's config.json; cairn settings shows",
      'which. The default is ./cairn-data and no key.',
      'Data goes to stdout, all else to stderr. Ends with 0 (done), 1 (failed), 2 (wrong usage), 5 (not found),',
      '6 (done, and something is amiss) or 130 (interrupted).',
      '',
    ].join('\n')
  }
  const own = flagLines(command.flags)
  return [
    `Usage: cairn ${usageOf(command)} [flags]`,
    '',
    command.summary,
    ...(command.details === undefined ? [] : ['', command.details]),
    '',
    ...(own.length === 0 ? [] : ['Flags:', ...own, '']),
    'Flags of all commands:',
    ...flagLines(commonFlags),
    '',
  ].join('\n')
}

function usageOf({ name, arguments: wanted }: Command): string {
  return [name, ...wanted.map(wordOf)].join(' ')
}

function wordOf({ name, takes }: Argument): string {
  if (takes === 'optional') return `[${name}]`
  return takes === 'many' ? `<${name}...>` : `<${name}>`
}

function flagLines(flags: Readonly<Record<string, Flag>>): string[] {
  return columns(
    Object.entries(flags).map(([name, flag]) => [
      flag.value === undefined ? `--${name}` : `--${name} ${flag.value}`,
      flag.multiple === true ? `${flag.help}; may be repeated` : flag.help,
    ]),
  )
}

function columns(rows: readonly (readonly [string, string])[]): string[] {
  const width = Math.max(0, ...rows.map(([first]) => first.length))
  return rows.map(([first, second]) => `  ${first.padEnd(width)}  ${second}`)
}
