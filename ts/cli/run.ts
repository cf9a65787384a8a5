// One run of the program, from its command line to its exit code.
import type { Readable, Writable } from 'node:stream'
import { version } from '../version.js'
import { exitCodes, UsageError } from './command.js'
import { commands } from './commands/index.js'
import { exitCodeOf, explain } from './failure.js'
import { format, printable } from './output.js'
import { help, parse, type Parsed } from './parse.js'
import { readSettings, type Surroundings } from './settings.js'

/** The process around a run. */
export interface World extends Surroundings {
  readonly stdin: Readable
  readonly stdout: Writable
  readonly stderr: Writable & { readonly isTTY?: boolean }
  readonly signal: AbortSignal
}

/** Runs a command line. Never rejects. */
export async function run(argv: readonly string[], world: World): Promise<number> {
  const { stdout, stderr, signal } = world
  const status = new StatusLine(stderr)
  try {
    if (argv.length === 0) {
      stderr.write(help(undefined))
      return exitCodes.usage
    }
    const parsed = parse(argv)
    if (parsed.wish === 'help') stdout.write(help(parsed.command))
    else if (parsed.wish === 'version') stdout.write(`${version}\n`)
    else return await execute(parsed, world, status)
    return exitCodes.ok
  } catch (error) {
    status.clear()
    // Whatever an interrupted command says, the interruption is why.
    if (signal.aborted) {
      stderr.write('cairn: interrupted\n')
      return exitCodes.interrupted
    }
    stderr.write(explain(error))
    if (error instanceof UsageError) stderr.write(`cairn: see ${usageHint(argv)}\n`)
    return exitCodeOf(error)
  }
}

async function execute(
  { command, words, flags, settings: given }: Extract<Parsed, { wish: 'run' }>,
  world: World,
  status: StatusLine,
): Promise<number> {
  const settings = readSettings(given, world)
  const { stdin, stdout, signal } = world
  const answer = await command.run({
    words,
    flags,
    settings,
    stdin,
    stdout,
    signal,
    tell: (line) => status.tell(line),
    progress: (text) => status.show(text),
  })
  status.clear()
  if (answer === undefined) return exitCodes.ok
  stdout.write(format(answer, settings.output.value))
  return answer.exitCode ?? exitCodes.ok
}

/** Where the user finds how it is meant. */
function usageHint(argv: readonly string[]): string {
  const name = argv.find((word) => commands.some((one) => one.name === word))
  return name === undefined ? 'cairn --help' : `cairn ${name} --help`
}

/** Lines for the user, and one that is written over where that is a terminal. */
class StatusLine {
  readonly #stream: World['stderr']
  #shown = false

  constructor(stream: World['stderr']) {
    this.#stream = stream
  }

  tell(line: string): void {
    this.clear()
    this.#stream.write(`cairn: ${printable(line)}\n`)
  }

  show(text: string): void {
    if (this.#stream.isTTY !== true) return
    // To the start of the line, and what stands there goes.
    this.#stream.write(`\r\u001B[K${printable(text)}`)
    this.#shown = true
  }

  clear(): void {
    if (this.#shown) this.#stream.write('\r\u001B[K')
    this.#shown = false
  }
}
