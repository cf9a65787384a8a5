#!/usr/bin/env node
// The command `cairn`: wires a process to a run.
import process from 'node:process'
import { exitCodes } from './command.js'
import { run } from './run.js'

const interrupt = new AbortController()
process.on('SIGINT', () => {
  // Asked twice, it ends at once; what was acknowledged is on the disk.
  if (interrupt.signal.aborted) process.exit(exitCodes.interrupted)
  interrupt.abort()
})

// Whoever reads the data has seen enough (`cairn export docs - | head`): no failure, and nobody to tell.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(exitCodes.ok)
  process.stderr.write(`cairn: writing to stdout failed: ${error.message}\n`)
  process.exit(exitCodes.failure)
})
process.stderr.on('error', () => undefined)

process.exitCode = await run(process.argv.slice(2), {
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  cwd: process.cwd(),
  env: process.env,
  platform: process.platform,
  signal: interrupt.signal,
})
// A source that is silent would keep the process.
process.stdin.destroy()
