import test from 'ava'
import { parseCron } from '#ts/internal/cron.js'

/** The times that come after `after`, to the minute. */
function times(text: string, after: string, count = 1): string[] {
  const cron = parseCron(text)
  if (cron === undefined) throw new Error(`${text} is refused`)
  const found: string[] = []
  for (let at = new Date(after); found.length < count;) {
    at = cron.next(at)
    found.push(at.toISOString().slice(0, 16))
  }
  return found
}

test('the next time is behind the moment that is given, to the minute', (t) => {
  t.deepEqual(times('15 3 * * *', '2026-11-22T03:14:59.999Z'), ['2026-11-22T03:15'])
  t.deepEqual(times('15 3 * * *', '2026-11-22T03:15:00Z'), ['2026-11-23T03:15'])
  t.deepEqual(times('* * * * *', '2026-12-31T23:59:30Z'), ['2027-01-01T00:00'])
})

test('lists, ranges and steps are numbers one by one', (t) => {
  const day = '2026-11-22T00:00:00Z'
  t.deepEqual(times('0,30 1-2 * * *', day, 5), [
    '2026-11-22T01:00',
    '2026-11-22T01:30',
    '2026-11-22T02:00',
    '2026-11-22T02:30',
    '2026-11-23T01:00',
  ])
  t.deepEqual(times('10-30/10 0 * * *', day, 4), [
    '2026-11-22T00:10',
    '2026-11-22T00:20',
    '2026-11-22T00:30',
    '2026-11-23T00:10',
  ])
  t.deepEqual(times('0 */8 * * *', day, 3), [
    '2026-11-22T08:00',
    '2026-11-22T16:00',
    '2026-11-23T00:00',
  ])
  t.deepEqual(times('50/5 0 * * *', day, 3), [
    '2026-11-22T00:50',
    '2026-11-22T00:55',
    '2026-11-23T00:50',
  ])
})

test('days of the week, and Sunday by both of its numbers', (t) => {
  // 22 November 2026 is a Sunday.
  t.deepEqual(times('15 3 * * 1-5', '2026-11-26T04:00:00Z', 3), [
    '2026-11-27T03:15',
    '2026-11-30T03:15',
    '2026-12-01T03:15',
  ])
  for (const sunday of ['0', '7', '6-7', '5,7']) {
    const found = times(`0 0 * * ${sunday}`, '2026-11-21T12:00:00Z')
    t.deepEqual(found, ['2026-11-22T00:00'], sunday)
  }
})

test('where both days are restricted one of them is enough, and with a star both must fit', (t) => {
  t.deepEqual(times('0 0 24 * 1', '2026-11-22T00:00:00Z', 3), [
    '2026-11-23T00:00',
    '2026-11-24T00:00',
    '2026-11-30T00:00',
  ])
  t.deepEqual(times('0 0 */2 * 1', '2026-11-22T00:00:00Z', 2), [
    '2026-11-23T00:00',
    '2026-12-07T00:00',
  ])
})

test('a leap day is waited for, over a century that has none, too', (t) => {
  t.deepEqual(times('0 0 29 2 *', '2026-01-01T00:00:00Z', 2), [
    '2028-02-29T00:00',
    '2032-02-29T00:00',
  ])
  t.deepEqual(times('0 0 29 2 *', '2096-03-01T00:00:00Z'), ['2104-02-29T00:00'])
  t.deepEqual(times('59 23 31 12 *', '2026-12-31T23:59:00Z'), ['2027-12-31T23:59'])
})

test('every next time fits, and none between was passed over', (t) => {
  // Against the definition, minute by minute over three days.
  const cron = parseCron('7-50/9,3 2,5-23/6 * 11,12 0-6')
  let at = new Date('2026-11-29T17:00:00Z')
  for (let step = 0; step < 40; step += 1) {
    const next = cron?.next(at) ?? at
    let expected = new Date(Math.floor(at.getTime() / 60_000) * 60_000)
    const minutes = new Set([3, 7, 16, 25, 34, 43])
    const hours = new Set([2, 5, 11, 17, 23])
    do expected = new Date(expected.getTime() + 60_000)
    while (!minutes.has(expected.getUTCMinutes()) || !hours.has(expected.getUTCHours()))
    t.is(next.toISOString(), expected.toISOString())
    at = next
  }
})

test('what is no time is refused', (t) => {
  for (const text of [
    '',
    '* * * *',
    '* * * * * *',
    '60 * * * *',
    '* 24 * * *',
    '* * 0 * *',
    '* * 32 * *',
    '* * * 0 *',
    '* * * 13 *',
    '* * * * 8',
    '-1 * * * *',
    '5-1 * * * *',
    '*/0 * * * *',
    '1,,2 * * * *',
    ', * * * *',
    '1- * * * *',
    '/5 * * * *',
    '1.5 * * * *',
    '1e1 * * * *',
    'mon * * * *',
    '@daily',
    '0 0 30 2 *',
    '0 0 31 4,6,9,11 *',
    `${'1,'.repeat(10)} * * * *`,
  ]) {
    t.is(parseCron(text), undefined, text)
  }
})
