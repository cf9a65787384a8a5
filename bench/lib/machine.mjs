// What a result was measured on.
import { readFileSync } from 'node:fs'
import { arch, availableParallelism, cpus, platform, release, totalmem } from 'node:os'

/** The machine in the columns of the record. `CAIRN_BENCH_MACHINE` gives it a name. */
export function machine() {
  const cpu = cpuName(cpus()[0]?.model ?? 'unknown', cpuInfo())
  return {
    machine: process.env.CAIRN_BENCH_MACHINE ?? 'unnamed',
    cpu,
    cores: availableParallelism(),
    memory_gb: Math.round(totalmem() / 1e9),
    os: `${platform()} ${release().split('-', 1)[0]} ${arch()}`,
    node: process.versions.node,
  }
}

/** The model's name; family and model number beside it where the name alone says little. */
export function cpuName(model, info = '') {
  const name = model.replaceAll(/\((?:R|TM)\)|\bCPU\b|\bProcessor\b|@.*$/gi, ' ')
  const number = (key) => new RegExp(`^${key}\\s*:\\s*(\\d+)$`, 'm').exec(info)?.[1]
  const short = name.replaceAll(/\s+/g, ' ').trim()
  if (/\d/.test(short) || number('cpu family') === undefined) return short
  return `${short} (family ${number('cpu family')} model ${number('model')})`
}

/** A name for the machine's folder in the record. */
export function slug({ cpu, cores }) {
  const words = cpu.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-')
  return `${words.replaceAll(/^-|-$/g, '')}-${cores}-cores`
}

/** Today in UTC. */
export function today(now = new Date()) {
  return now.toISOString().slice(0, 10)
}

function cpuInfo() {
  try {
    return readFileSync('/proc/cpuinfo', 'utf8')
  } catch {
    return ''
  }
}
