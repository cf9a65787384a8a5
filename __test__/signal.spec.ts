import { getEventListeners } from 'node:events'
import test from 'ava'
import { listen, underSignal, unlessAborted } from '#ts/signal.js'
import { Lifetime } from '#ts/internal/lifetime.js'
import { ended, startUnder } from './helpers/child.js'
import { fails } from './helpers/expect.js'
import { openFor } from './helpers/home.js'
import { randomMatrix } from './helpers/random.js'

/** A ticket that remembers whether it was cancelled. */
class FakeTicket {
  static last: FakeTicket | undefined
  cancelled = false

  constructor() {
    FakeTicket.last = this
  }

  cancel(): void {
    this.cancelled = true
  }

  progress(): number[] {
    return [0, 0]
  }
}

const fake = { BindingTicket: FakeTicket }

test.serial('a call without a signal has no ticket', async (t) => {
  t.is(await underSignal(fake, undefined, async (ticket) => (ticket === null ? 1 : 2)), 1)
})

test.serial('a signal that fires cancels the ticket, and its listener goes', async (t) => {
  const abort = new AbortController()
  const { signal } = abort
  const call = underSignal(fake, signal, async () => {
    t.is(getEventListeners(signal, 'abort').length, 1)
    abort.abort('enough')
    t.true(FakeTicket.last?.cancelled)
    return { code: 'ERR_ABORTED', message: 'aborted', retryable: false, details: [] } as never
  })
  const error = await fails(t, () => call, 'ERR_ABORTED')
  t.is(error?.cause, 'enough')
  t.is(getEventListeners(signal, 'abort').length, 0)
})

test.serial('a call that ends in time leaves no listener', async (t) => {
  const { signal } = new AbortController()
  t.is(await underSignal(fake, signal, async () => 5), 5)
  t.is(getEventListeners(signal, 'abort').length, 0)
})

test.serial(
  'calls under one signal share a listener, which goes with the last of them',
  async (t) => {
    const abort = new AbortController()
    const { signal } = abort
    const tickets: FakeTicket[] = []
    const ends: (() => void)[] = []
    const calls = Array.from({ length: 20 }, () =>
      underSignal(fake, signal, (ticket) => {
        tickets.push(ticket as FakeTicket)
        return new Promise<number>((resolve) => ends.push(() => resolve(1)))
      }),
    )
    t.is(getEventListeners(signal, 'abort').length, 1)
    ends[0]?.()
    await calls[0]
    t.is(getEventListeners(signal, 'abort').length, 1)
    abort.abort()
    t.deepEqual(
      tickets.map(({ cancelled }) => cancelled),
      tickets.map((_, at) => at > 0),
    )
    for (const end of ends) end()
    await Promise.all(calls)
    t.is(getEventListeners(signal, 'abort').length, 0)
  },
)

test('what was taken back once stays so, and takes nothing else back', (t) => {
  const abort = new AbortController()
  const called: string[] = []
  const unlisten = listen(abort.signal, () => called.push('first'))
  unlisten()
  listen(abort.signal, () => called.push('second'))
  unlisten()
  listen(abort.signal, () => called.push('third'))
  t.is(getEventListeners(abort.signal, 'abort').length, 1)
  abort.abort()
  t.deepEqual(called, ['second', 'third'])
})

test('fifty calls at once under one signal make Node warn of nothing', async (t) => {
  const end = await ended(startUnder(['--trace-warnings'], 'signals'))
  t.like(end, { code: 0, stdout: 'done', stderr: '' })
})

test.serial('a signal that has fired makes no call', async (t) => {
  await fails(t, () => underSignal(fake, AbortSignal.abort(), async () => t.fail()), 'ERR_ABORTED')
})

test('work goes on without its caller, to an end that is waited for, and gives what it has to nobody', async (t) => {
  const abort = new AbortController()
  const { signal } = abort
  const lifetime = new Lifetime()
  const events: string[] = []
  let end: ((value: number) => void) | undefined
  const work = async (): Promise<number> => {
    events.push('begun')
    return new Promise((resolve) => (end = resolve))
  }
  const drop = async (late: number): Promise<void> => {
    events.push(`dropped ${late}`)
  }
  const call = unlessAborted(signal, work, { lifetime, drop })
  t.deepEqual(events, ['begun'], 'it begins before the call returns')
  t.is(getEventListeners(signal, 'abort').length, 1)
  abort.abort('enough')
  const error = await fails(t, () => call, 'ERR_ABORTED')
  t.is(error?.cause, 'enough')
  t.is(getEventListeners(signal, 'abort').length, 0)
  const closed = lifetime.close(async () => void events.push('closed'))
  end?.(5)
  await closed
  t.deepEqual(events, ['begun', 'dropped 5', 'closed'])
})

test('work that ends in time is not dropped, and how it fails is told once', async (t) => {
  const abort = new AbortController()
  const { signal } = abort
  const drop = (): void => t.fail()
  t.is(await unlessAborted(signal, async () => 5, { drop }), 5)
  t.is(await unlessAborted(undefined, async () => 6, { drop }), 6)
  const failure = new Error('mine')
  const failing = async (): Promise<never> => {
    throw failure
  }
  t.is(await t.throwsAsync(unlessAborted(signal, failing, { drop })), failure)
  t.is(getEventListeners(signal, 'abort').length, 0)
  const late = unlessAborted(signal, failing, { drop })
  abort.abort()
  await fails(t, () => late, 'ERR_ABORTED')
  await fails(t, () => unlessAborted(signal, async () => t.fail()), 'ERR_ABORTED')
})

test('a signal that the work itself fires is heard', async (t) => {
  const abort = new AbortController()
  const never = async (): Promise<never> => {
    abort.abort('from within')
    return new Promise(() => {})
  }
  const error = await fails(t, () => unlessAborted(abort.signal, never), 'ERR_ABORTED')
  t.is(error?.cause, 'from within')
})

test('onabort of the caller stays theirs', async (t) => {
  const docs = await (await openFor(t)).collection('docs', { vectors: { dim: 2, metric: 'l2' } })
  const abort = new AbortController()
  let called = 0
  abort.signal.onabort = () => (called += 1)
  await docs.upsert({ key: 'a', vector: [1, 2] }, { signal: abort.signal })
  await docs.search({ vector: [1, 2], signal: abort.signal })
  abort.abort()
  t.is(called, 1)
})

test('searches can be stopped in the middle, by signal and by deadline', async (t) => {
  const docs = await (
    await openFor(t)
  ).collection('docs', {
    vectors: { dim: 64, metric: 'l2', index: 'flat' },
  })
  const rows = 20_000
  const keys = Array.from({ length: rows }, (_, at) => `k${at}`)
  await docs.upsert({ keys, vectors: randomMatrix(rows, 64, 1) })
  const vectors = randomMatrix(2000, 64, 2)
  const abort = new AbortController()
  setTimeout(() => abort.abort(), 20)
  const started = performance.now()
  await fails(
    t,
    () => docs.searchBatch({ vectors, exact: true, signal: abort.signal }),
    'ERR_ABORTED',
  )
  t.true(performance.now() - started < 1000)
  await fails(t, () => docs.searchBatch({ vectors, exact: true, deadlineMs: 5 }), 'ERR_DEADLINE')
  t.is((await docs.search({ vector: vectors.slice(0, 64), deadlineMs: 1e18, k: 1 })).length, 1)
})

test('a signal can be used for many calls', async (t) => {
  const docs = await (await openFor(t)).collection('docs', { vectors: { dim: 2, metric: 'l2' } })
  const { signal } = new AbortController()
  for (let at = 0; at < 100; at += 1)
    await docs.upsert({ key: `k${at}`, vector: [at, 0] }, { signal })
  t.is(await docs.count(), 100)
  t.is(getEventListeners(signal, 'abort').length, 0)
})
