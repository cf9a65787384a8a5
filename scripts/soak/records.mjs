// Records that say themselves whether they are right: everything in one follows from its key and two stamps.
// They are written in groups of five, always all five at once, so that half a batch shows.
import { deepStrictEqual } from 'node:assert/strict'

export const members = 5
export const groups = 400
export const dim = 16

export const schema = {
  vectors: { dim, metric: 'l2' },
  fields: {
    group: 'int',
    v: 'int',
    f: 'int',
    lang: 'keyword',
    text: 'text',
    seen: 'date',
    tags: 'keyword[]',
  },
}

/** Numbers that follow from a seed (mulberry32). */
export class Random {
  #state

  constructor(seed) {
    this.#state = seed >>> 0
  }

  /** In [0, 1). */
  next() {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }

  /** A whole number from 0 to below `bound`. */
  below(bound) {
    return Math.floor(this.next() * bound)
  }

  pick(list) {
    return list[this.below(list.length)]
  }
}

export const keyOf = (group, member) => `g${group}-${member}`

/** Of stamp `v`; no two records of a store have the same. */
export function vectorOf(group, member, v) {
  const random = new Random(group * 1_000_003 + member * 10_007 + v * 101)
  return Array.from({ length: dim }, () => Math.fround(random.next() * 2 - 1))
}

export function fieldsOf(group, member, { v, f }) {
  return {
    group,
    v,
    f,
    lang: ['en', 'de', 'fr'][f % 3],
    text: `text ${group} ${member} ${f} `.repeat(1 + (f % 5)),
    seen: new Date(1_700_000_000_000 + f * 1000),
    tags: [`t${f % 7}`, `g${group}`],
  }
}

export function recordOf(group, member, state) {
  return {
    key: keyOf(group, member),
    vector: vectorOf(group, member, state.v),
    fields: fieldsOf(group, member, state),
  }
}

/** All records of a group. */
export function recordsOf(group, state) {
  return Array.from({ length: members }, (_, member) => recordOf(group, member, state))
}

/** Whose record that is; throws when anything in it is not what its stamps say. */
export function checkRecord({ key, vector, fields }) {
  const [group, member] = key.slice(1).split('-').map(Number)
  const { v, f } = fields
  deepStrictEqual({ ...fields }, fieldsOf(group, member, { v, f }), `fields of ${key}`)
  if (vector !== undefined) {
    deepStrictEqual([...vector], vectorOf(group, member, v), `vector of ${key}`)
  }
  return { group, member, v, f }
}

/** Groups of a scan, each whole and of one state. */
export async function groupsOf(records) {
  const found = new Map()
  const counts = new Map()
  for await (const record of records) {
    const { group, v, f } = checkRecord(record)
    const before = found.get(group)
    if (before !== undefined) deepStrictEqual({ v, f }, before, `group ${group} is of two batches`)
    found.set(group, { v, f })
    counts.set(group, (counts.get(group) ?? 0) + 1)
  }
  for (const [group, count] of counts) {
    deepStrictEqual(count, members, `members of group ${group}`)
  }
  return found
}
