import test from 'ava'
import { Lifetime } from '#ts/internal/lifetime.js'

test('closing waits for what runs and closes once', async (t) => {
  const lifetime = new Lifetime()
  const order: string[] = []
  let finish = (): void => undefined
  const running = lifetime.track(
    new Promise<void>((resolve) => {
      finish = resolve
    }),
  )
  const last = async (): Promise<void> => void order.push('last')
  const closes = [lifetime.close(last), lifetime.close(last)]
  t.false(lifetime.open)
  order.push('finish')
  finish()
  await Promise.all([running, ...closes])
  t.deepEqual(order, ['finish', 'last'])
})

test('a failed call counts as ended', async (t) => {
  const lifetime = new Lifetime()
  await t.throwsAsync(lifetime.track(Promise.reject(new Error('x'))))
  await lifetime.close(async () => undefined)
  t.pass()
})
