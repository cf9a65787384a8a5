// A Python program that answers one line of JSON with another.
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { python } from './peers.mjs'

/** Starts a program of bench/native; calls are answered one after the other. */
export function startPython(program, args, { name = program, env = {} } = {}) {
  const child = spawn(python, [program, ...args.map(String)], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { ...process.env, PYTHONUNBUFFERED: '1', ...env },
  })
  const waiting = []
  let gone
  createInterface({ input: child.stdout }).on('line', (line) => {
    const { resolve, reject } = waiting.shift()
    const { value, error } = JSON.parse(line)
    if (error === undefined) resolve(value)
    else reject(new Error(`${name}: ${error}`))
  })
  child.on('close', (code, signal) => {
    gone = new Error(`the process of ${name} ended by itself (${signal ?? `code ${code}`})`)
    for (const { reject } of waiting) reject(gone)
  })
  return {
    call(method, ...params) {
      if (gone) return Promise.reject(gone)
      const answer = new Promise((resolve, reject) => waiting.push({ resolve, reject }))
      child.stdin.write(`${JSON.stringify({ name: method, args: params })}\n`)
      return answer
    },
    stop() {
      child.stdin.end()
      child.kill()
    },
  }
}
