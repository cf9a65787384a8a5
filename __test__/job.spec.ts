import { setTimeout as delay } from 'node:timers/promises'
import test from 'ava'
import { runJob } from '#ts/job.js'
import type { BindingTicket } from '#ts/native/binding.js'
import { fails } from './helpers/expect.js'

/** A ticket whose work is done in steps, until it is cancelled. */
class FakeTicket implements BindingTicket {
  cancelled = false
  done = 0

  cancel(): void {
    this.cancelled = true
  }

  progress(): number[] {
    return [this.done, 10]
  }
}

const binding = { BindingTicket: FakeTicket }
const never = new AbortController().signal
const abortedAnswer = { code: 'ERR_ABORTED', message: 'x', retryable: false, details: [] } as const

async function work(ticket: BindingTicket): Promise<undefined | typeof abortedAnswer> {
  const fake = ticket as FakeTicket
  for (; fake.done < 10 && !fake.cancelled; fake.done += 1) await delay(40)
  return fake.cancelled ? abortedAnswer : undefined
}

test('progress is reported while the job runs, and at its end', async (t) => {
  const seen: number[] = []
  await runJob(binding, { onProgress: ({ done }) => seen.push(done) }, never, work)
  t.true(seen.length >= 3)
  t.is(seen.at(-1), 10)
  t.deepEqual(
    seen,
    seen.toSorted((a, b) => a - b),
  )
})

test("the caller's signal ends it with ERR_ABORTED", async (t) => {
  const abort = new AbortController()
  setTimeout(() => abort.abort('enough'), 60)
  const run = runJob(binding, { signal: abort.signal }, never, work)
  const error = await fails(t, () => run, 'ERR_ABORTED')
  t.is(error?.cause, 'enough')
})

test('closing ends it with ERR_CLOSED', async (t) => {
  const ending = new AbortController()
  setTimeout(() => ending.abort(), 60)
  await fails(t, () => runJob(binding, undefined, ending.signal, work), 'ERR_CLOSED')
})

test('what onProgress throws ends it and comes through', async (t) => {
  const own = new Error('mine')
  const onProgress = (): never => {
    throw own
  }
  t.is(await t.throwsAsync(runJob(binding, { onProgress }, never, work)), own)
})
