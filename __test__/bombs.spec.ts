// Ten gigabytes in ten megabytes: what is compressed says nothing about what it becomes.
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import test from 'ava'
import { ended, start } from './helpers/child.js'
import { temporaryDirectory } from './helpers/home.js'

const MiB = 1024 * 1024

/** Zeros, compressed: a member of 64 MiB again and again, behind one of `head`. */
function bombOf(head: Uint8Array, bytes: number): Buffer {
  const member = gzipSync(Buffer.alloc(64 * MiB))
  const count = Math.ceil(bytes / (64 * MiB))
  return Buffer.concat([gzipSync(head), ...Array.from({ length: count }, () => member)])
}

/** A header of a tar: a file of so many bytes. */
function tarHeader(path: string, bytes: number): Buffer {
  const block = Buffer.alloc(512)
  block.write(path, 0)
  block.write('0000600\0', 100)
  // From 8 GiB on in base 256, as GNU tar does.
  block[124] = 0x80
  block.writeBigUInt64BE(BigInt(bytes), 128)
  block.write('        ', 148)
  block.write('0ustar\0', 156)
  const sum = block.reduce((all, byte) => all + byte, 0)
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148)
  return block
}

const bytes = 10 * 1024 * MiB
const catalog = tarHeader('catalog/00000000000000000001.cat', bytes)
const none = Buffer.alloc(0)

for (const [title, what, head, code, growthMax] of [
  // Less than a line may have, twice.
  ['lines of JSON without an end', 'import', none, 'ERR_LIMIT_EXCEEDED', 512],
  ['an archive that is nothing but its end', 'restore', none, 'ERR_CORRUPT', 128],
  [
    'an archive that is nothing but its end, as a stream',
    'restore-stream',
    none,
    'ERR_CORRUPT',
    128,
  ],
  ['an archive with a catalog of ten gigabytes', 'restore', catalog, 'ERR_CORRUPT', 128],
] as const) {
  test.serial(`10 GiB in 10 MB are refused in bounded memory: ${title}`, async (t) => {
    t.timeout(120_000)
    const directory = temporaryDirectory(t)
    const [bomb, target] = [join(directory, 'bomb.gz'), join(directory, 'target')]
    const packed = bombOf(head, bytes)
    t.true(packed.length < 12_000_000, `${packed.length} bytes`)
    writeFileSync(bomb, packed)
    const { code: exit, stdout, stderr } = await ended(start('bomb', what, bomb, target))
    t.is(exit, 0, stderr)
    const told = JSON.parse(stdout) as { code: string; growth: number; seconds: number }
    t.log(`${told.growth.toFixed(0)} MiB, ${told.seconds.toFixed(1)} s`)
    t.is(told.code, code)
    t.true(told.growth < growthMax, `it took ${told.growth} MiB`)
    if (what !== 'import') t.false(existsSync(target), 'nothing is left')
  })
}
