// Times as cron writes them: five fields, in UTC.

/** A number, `*`, a range; with a step or without. */
const partForm = /^(?:\*|(\d{1,2})(?:-(\d{1,2}))?)(?:\/(\d{1,2}))?$/

/** Minute, hour, day of the month, month, day of the week (0 and 7 are Sunday): lowest and highest. */
const bounds = [
  [0, 59],
  [0, 23],
  [1, 31],
  [1, 12],
  [0, 7],
] as const

/** Days that are looked at for the next time. A 29 February comes again after eight years at most, on a given weekday after forty. */
const daysMax = 366 * 41

const minuteMs = 60_000
const dayMs = 24 * 60 * minuteMs

/** What five fields say. */
export interface Cron {
  /** The first time behind `after` that they say, to the minute. */
  readonly next: (after: Date) => Date
}

/** Reads five fields of lists, ranges and steps; nothing where they are wrong or no day ever fits them. */
export function parseCron(text: string): Cron | undefined {
  const fields = text.trim().split(/\s+/)
  if (fields.length !== bounds.length) return undefined
  const sets = bounds.map(([min, max], at) => valuesOf(fields[at] ?? '', min, max))
  const [minutes, hours, days, months, weekdays] = sets
  if (!minutes || !hours || !days || !months || !weekdays) return undefined
  if (weekdays.has(7)) weekdays.add(0)
  // As cron has it since Version 7: where both are restricted, one of them is enough.
  const [anyDay, anyWeekday] = [fields[2], fields[4]].map((field) => field?.startsWith('*'))
  const fitsDay = (day: Date): boolean => {
    if (!months.has(day.getUTCMonth() + 1)) return false
    const isDay = days.has(day.getUTCDate())
    const isWeekday = weekdays.has(day.getUTCDay())
    return anyDay || anyWeekday ? isDay && isWeekday : isDay || isWeekday
  }
  const times = [...hours]
    .flatMap((hour) => [...minutes].map((minute) => (hour * 60 + minute) * minuteMs))
    .toSorted((a, b) => a - b)
  const find = (after: number): Date | undefined => {
    const today = Math.floor(after / dayMs) * dayMs
    for (let day = 0; day < daysMax; day += 1) {
      const begins = today + day * dayMs
      if (!fitsDay(new Date(begins))) continue
      const time = times.find((each) => begins + each > after)
      if (time !== undefined) return new Date(begins + time)
    }
    return undefined
  }
  // A day that comes once in forty years comes again for whoever asks later.
  if (find(0) === undefined) return undefined
  return { next: (after) => find(after.getTime()) ?? new Date(Number.NaN) }
}

/** The numbers of one field, or nothing where it is wrong. */
function valuesOf(field: string, min: number, max: number): Set<number> | undefined {
  const values = new Set<number>()
  for (const part of field.split(',')) {
    const found = partForm.exec(part)
    if (found === null) return undefined
    const [, first, last, step] = found
    const from = first === undefined ? min : Number(first)
    // A step behind a single number goes on to the end.
    const to =
      last === undefined ? (first === undefined || step !== undefined ? max : from) : Number(last)
    const by = step === undefined ? 1 : Number(step)
    if (from < min || to > max || from > to || by === 0) return undefined
    for (let value = from; value <= to; value += by) values.add(value)
  }
  return values
}
