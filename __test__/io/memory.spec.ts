// Files of any size pass through a memory that does not grow with them.
import { statSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { ended, startUnder } from '../helpers/child.js'
import { temporaryDirectory } from '../helpers/home.js'

const rows = 300_000
const dim = 32
/** MiB. As objects, the records of one of these files take several times that; read as they come, 25. */
const growthMax = 64

for (const file of ['docs.jsonl', 'docs.arrow', 'docs.parquet']) {
  test.serial(`${rows} records go through ${file} and back in bounded memory`, async (t) => {
    t.timeout(180_000)
    const directory = temporaryDirectory(t)
    // A young heap that is small, so that what is let go is seen to be gone.
    const options = ['--max-semi-space-size=8', '--max-old-space-size=192']
    const child = startUnder(options, 'transfer', directory, file, String(rows), String(dim))
    const { code, stdout, stderr } = await ended(child)
    t.is(code, 0, stderr)
    const { written, read, exportGrowth, growth } = JSON.parse(stdout) as Record<string, number>
    t.is(written, rows)
    t.is(read, rows)
    const size = statSync(join(directory, file)).size / 1024 / 1024
    t.log(
      `${size.toFixed(0)} MiB of ${file}: export ${exportGrowth} MiB, with import ${growth} MiB`,
    )
    t.true((growth ?? Infinity) < growthMax, `it took ${growth} MiB`)
  })
}
