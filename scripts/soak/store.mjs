// One database, everything that can be done to it, and what it must hold then.
import { deepStrictEqual, ok, rejects } from 'node:assert/strict'
import { createWriteStream, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { listBackups, open, pruneBackups, restore, verifyBackup } from '../../dist/index.js'
import { exportTo, importFrom } from '../../dist/io/index.js'
import { groups, groupsOf, keyOf, members, recordsOf, schema, vectorOf } from './records.mjs'

const small = {
  memtableBytes: 256 * 1024,
  walBytesMax: 4 * 1024 * 1024,
  onWarning: () => undefined,
}

/** How often each is done, of a hundred or so. */
const shares = [
  ['put', 24],
  ['putColumns', 8],
  ['change', 10],
  ['remove', 8],
  ['ingest', 4],
  ['repeat', 4],
  ['refuse', 4],
  ['get', 8],
  ['search', 10],
  ['scan', 3],
  ['pinned', 1],
  ['commit', 3],
  ['flush', 1],
  ['sideCollection', 2],
  ['transfer', 1],
  ['version', 2],
  ['backup', 1],
  ['archive', 1],
  ['check', 1],
  ['listen', 1],
  ['abort', 2],
  ['rotate', 1],
  ['reopen', 1],
]
const wheel = shares.flatMap(([name, share]) => Array.from({ length: share }, () => name))

/** What a batch may need to survive: the death of the process. */
const survivesKills = ['sync', 'os']

/**
 * A database under test.
 *
 * `begun` is told of a change before it is made and `done` after it was acknowledged; whoever kills this process
 * knows by them what must be there.
 */
export class Store {
  constructor({ directory, keyed, random, mortal, begun = () => {}, done = () => {} }) {
    this.directory = directory
    this.random = random
    this.mortal = mortal
    this.begun = begun
    this.done = done
    this.model = new Map()
    this.stamp = 0
    this.keys = keyed ? [new Uint8Array(32).fill(11), new Uint8Array(32).fill(12)] : undefined
    this.counts = {}
  }

  /** Opens it, with whichever of the two keys it has: a kill may have come before or behind a rotation. */
  async open() {
    const options = { ...small, lockTimeoutMs: 5000, ...this.#encryption() }
    this.db = await open(this.directory, options)
    this.docs = await this.db.collection('docs', schema)
  }

  #encryption() {
    if (this.keys === undefined) return {}
    const byId = { one: this.keys[0], two: this.keys[1] }
    return {
      encryption: { current: () => ({ id: 'one', key: byId.one }), get: (id) => byId[id] },
    }
  }

  async close() {
    await this.db.close()
  }

  /** One random step. */
  async step() {
    const name = this.random.pick(wheel)
    this.counts[name] = (this.counts[name] ?? 0) + 1
    await this[name]()
  }

  /** Compares everything with the model. `pending` may have happened, whole, or not. */
  async verify(pending) {
    const found = await groupsOf(this.docs.scan({ vectors: true }))
    const expected = new Map(this.model)
    if (pending !== undefined) {
      const happened = pending.every(([group, state]) => same(found.get(group), state))
      const not = pending.every(([group]) => same(found.get(group), this.model.get(group)))
      ok(happened || not, `a batch is torn: ${JSON.stringify(pending)}`)
      if (happened) apply(expected, pending)
    }
    const wrong = differences(found, expected)
    ok(
      wrong.length === 0,
      `${this.directory}: records are not those of the model: ${wrong.join('; ')}`,
    )
    deepStrictEqual(await this.docs.count(), members * expected.size)
    this.model = expected
  }

  async #write(changes, write) {
    this.begun(changes)
    const result = await write()
    apply(this.model, changes)
    this.done()
    return result
  }

  #durability() {
    return this.random.pick(this.mortal ? survivesKills : ['sync', 'os', 'memory'])
  }

  #someGroups(most) {
    const count = 1 + this.random.below(most)
    return [...new Set(Array.from({ length: count }, () => this.random.below(groups)))]
  }

  #fresh() {
    this.stamp += 1
    return { v: this.stamp, f: this.stamp }
  }

  #puts(most) {
    return this.#someGroups(most).map((group) => [group, this.#fresh()])
  }

  async put() {
    const changes = this.#puts(8)
    const rows = changes.flatMap(([group, state]) => recordsOf(group, state))
    await this.#write(changes, () => this.docs.upsert(rows, { durability: this.#durability() }))
  }

  async putColumns() {
    const changes = this.#puts(12)
    const rows = changes.flatMap(([group, state]) => recordsOf(group, state))
    const columns = {
      keys: rows.map(({ key }) => key),
      vectors: Float32Array.from(rows.flatMap(({ vector }) => vector)),
      fields: rows.map(({ fields }) => fields),
    }
    await this.#write(changes, () => this.docs.upsert(columns, { durability: this.#durability() }))
  }

  /** New fields, the same vectors. */
  async change() {
    const known = this.#someGroups(6).filter((group) => this.model.has(group))
    const changes = known.map((group) => {
      this.stamp += 1
      return [group, { v: this.model.get(group).v, f: this.stamp }]
    })
    if (changes.length === 0) return
    const rows = changes.flatMap(([group, state]) =>
      recordsOf(group, state).map(({ key, fields }) => ({ key, fields })),
    )
    await this.#write(changes, () =>
      this.docs.update(rows, { fieldsMode: 'replace', durability: this.#durability() }),
    )
  }

  async remove() {
    const changes = this.#someGroups(4).map((group) => [group, null])
    const keys = changes.flatMap(([group]) =>
      Array.from({ length: members }, (_, member) => keyOf(group, member)),
    )
    const there = changes.filter(([group]) => this.model.has(group)).length
    const { deleted } = await this.#write(changes, () =>
      this.docs.delete(keys, { durability: this.#durability() }),
    )
    deepStrictEqual(deleted, there * members, 'deleted')
  }

  async ingest() {
    const changes = this.#puts(10)
    // Chunks of an ingest are batches of their own, so it is one chunk.
    const rows = changes.flatMap(([group, state]) => recordsOf(group, state))
    await this.#write(changes, () =>
      this.docs.ingest([rows], { chunkRows: 1000, durability: this.#durability() }),
    )
  }

  /** Twice under one key: it happens once. */
  async repeat() {
    const changes = this.#puts(3)
    const rows = changes.flatMap(([group, state]) => recordsOf(group, state))
    const options = {
      idempotencyKey: `k${this.stamp}-${this.random.below(1e9)}`,
      durability: 'sync',
    }
    const first = await this.#write(changes, () => this.docs.upsert(rows, options))
    deepStrictEqual(await this.docs.upsert(rows, options), first, 'a repetition')
    await rejects(this.docs.delete(rows[0].key, options), { code: 'ERR_CONFLICT' })
  }

  async refuse() {
    const [row] = recordsOf(this.random.below(groups), { v: 1, f: 1 })
    const { docs } = this
    await rejects(docs.upsert({ ...row, vector: [1] }), { code: 'ERR_DIM_MISMATCH' })
    await rejects(docs.upsert([row, { ...row, key: '' }]), { code: 'ERR_INVALID_KEY' })
    await rejects(docs.upsert(row, { if: { version: 2n ** 60n } }), {
      code: 'ERR_CONDITION_FAILED',
    })
    await rejects(docs.search({ vector: row.vector, k: 0 }), { code: 'ERR_INVALID_ARGUMENT' })
  }

  async get() {
    const group = this.random.below(groups)
    const state = this.model.get(group)
    const keys = Array.from({ length: members }, (_, member) => keyOf(group, member))
    const records = await this.docs.get(keys, { vectors: true })
    deepStrictEqual(records.filter(Boolean).length, state === undefined ? 0 : members)
    if (state !== undefined) deepStrictEqual([...(await groupsOf(records))], [[group, state]])
    deepStrictEqual(
      await this.docs.has(keys),
      keys.map(() => state !== undefined),
    )
  }

  async search() {
    const known = this.#someGroups(3).find((group) => this.model.has(group))
    if (known === undefined) return
    const vector = vectorOf(known, 2, this.model.get(known).v)
    const k = Math.min(10, members * this.model.size)
    const exact = this.random.below(2) === 0
    const hits =
      this.random.below(2) === 0
        ? await this.docs.search({ vector, k, exact })
        : this.docs.searchSync({ vector, k, exact })
    deepStrictEqual(hits.length, k, 'hits')
    if (exact) {
      deepStrictEqual([hits[0].key, hits[0].distance], [keyOf(known, 2), 0], 'the nearest')
    }
    await groupsOfHits(hits)
    const two = Float32Array.from([...vector, ...vector])
    const { offsets } = await this.docs.searchBatch({ vectors: two, k: 3 })
    deepStrictEqual(offsets.length, 3)
    ok((await this.docs.explain({ vector, k: 3 })).stages.length > 0)
  }

  /** In pages, taken up by their cursor. */
  async scan() {
    const found = new Map()
    let after
    do {
      const page = this.docs.scan({ after, limit: 500, select: ['group'] })
      for await (const { fields } of page) {
        found.set(fields.group, (found.get(fields.group) ?? 0) + 1)
      }
      after = page.cursor ?? undefined
    } while (after !== undefined)
    deepStrictEqual(found.size, this.model.size, 'groups')
  }

  /** A scan that is begun before changes and read behind them sees none. */
  async pinned() {
    const before = new Map(this.model)
    const scan = this.docs.scan({ vectors: true })
    const first = await scan.next()
    for (let n = 0; n < 3; n += 1) await this.put()
    await this.docs.compact()
    const rest = async function* () {
      if (!first.done) yield first.value
      yield* scan
    }
    deepStrictEqual(differences(await groupsOf(rest()), before), [], 'a version that was held')
  }

  async commit() {
    await (this.random.below(2) === 0 ? this.db : this.docs).commit()
  }

  async flush() {
    await (this.random.below(2) === 0 ? this.db : this.docs).compact()
  }

  async sideCollection() {
    const name = `side-${this.random.below(3)}`
    const side = await this.db.collection(name, {
      key: 'u64',
      vectors: { dim: 4, metric: 'cosine' },
    })
    const keys = BigUint64Array.from({ length: 50 }, (_, at) => BigInt(at))
    await side.upsert({ keys, vectors: new Float32Array(200).fill(1) })
    deepStrictEqual(await side.count(), 50)
    const other = `renamed-${this.random.below(3)}`
    const names = (await this.db.listCollections()).map((each) => each.name)
    if (names.includes(other)) await this.db.dropCollection(other)
    await this.db.renameCollection(name, other)
    await this.db.dropCollection(other)
  }

  /** Out to a file and back into another collection. */
  async transfer() {
    const format = this.random.pick(['jsonl', 'jsonl.gz', 'npy'])
    const path = join(`${this.directory}-files`, `export.${format}`)
    const wanted = format === 'npy' ? { select: false } : {}
    const { rows } = await exportTo(this.docs, path, wanted)
    deepStrictEqual(rows, members * this.model.size, 'exported')
    if (format === 'npy') return
    // A kill may have come before the end of an earlier one.
    const names = (await this.db.listCollections()).map((each) => each.name)
    if (names.includes('imported')) await this.db.dropCollection('imported')
    const into = await this.db.createCollection('imported', schema)
    const read = await importFrom(into, path)
    deepStrictEqual(read.rows, rows, 'imported')
    deepStrictEqual(differences(await groupsOf(into.scan({ vectors: true })), this.model), [])
    await this.db.dropCollection('imported')
  }

  /** A version that is recorded stays what it was, whatever is written and merged. */
  async version() {
    const name = `v${this.random.below(3)}`
    const known = await this.db.listVersions()
    if (known.some((each) => each.name === name)) await this.db.dropVersion(name)
    const before = new Map(this.model)
    const { version } = await this.db.snapshot(name)
    await this.put()
    await this.remove()
    if (this.random.below(2) === 0) await this.docs.compact()
    const past = await this.db.at(this.random.pick([name, version]))
    await this.#holds(past, before)
    await past.close()
    if (this.random.below(2) === 0) await this.db.dropVersion(name)
  }

  /** A backup, checked, made a database again, and compared. */
  async backup() {
    const target = `${this.directory}-backups`
    const before = new Map(this.model)
    const { id } = await this.db.backup(target)
    await this.put()
    await verifyBackup(target, { id })
    await this.#restored(target, { id }, before)
    await pruneBackups(target, { keep: 3 })
    ok((await listBackups(target)).length <= 3, 'backups that were removed')
  }

  async archive() {
    const path = join(`${this.directory}-files`, 'archive.tar.gz')
    const before = new Map(this.model)
    await this.db.archive(createWriteStream(path), { compress: 'gzip' })
    await this.put()
    await this.#restored(path, {}, before)
  }

  async #restored(source, options, expected) {
    const target = `${this.directory}-restored`
    rmSync(target, { recursive: true, force: true })
    const encryption = this.#encryption()
    await restore(source, target, { ...options, ...encryption })
    const db = await open(target, { ...small, ...encryption })
    await this.#holds(db, expected)
    await db.close()
    rmSync(target, { recursive: true, force: true })
  }

  async #holds(db, expected) {
    const docs = await db.openCollection('docs')
    const found = await groupsOf(docs.scan({ vectors: true }))
    deepStrictEqual(differences(found, expected), [], 'a copy of a version')
  }

  /** Nothing is wrong with any byte. */
  async check() {
    const { ok: isFine, problems } = await this.db.verify()
    ok(isFine, JSON.stringify(problems))
  }

  async listen() {
    const versions = []
    const listener = (version) => versions.push(version)
    this.db.on('version', listener)
    await this.put()
    await delay(0)
    this.db.off('version', listener)
    ok(versions.length > 0, 'a version that was told')
  }

  async abort() {
    const signal = AbortSignal.abort()
    const vector = vectorOf(1, 1, 1)
    await rejects(this.docs.search({ vector, signal }), { code: 'ERR_ABORTED' })
    await rejects(this.docs.delete('nobody', { signal }), { code: 'ERR_ABORTED' })
    const controller = new AbortController()
    const search = this.docs
      .search({ vector, signal: controller.signal })
      .catch((error) => error.code)
    controller.abort()
    const answer = await search
    ok(Array.isArray(answer) || answer === 'ERR_ABORTED', String(answer))
  }

  /** Every rotation adds a data key that is never taken out, so there are few. */
  async rotate() {
    if (this.keys === undefined || this.random.below(8) > 0) return
    const [id, key] = this.random.pick([
      ['one', this.keys[0]],
      ['two', this.keys[1]],
    ])
    await this.db.rotateKey({ keyId: id, key })
  }

  async reopen() {
    await this.close()
    await rejects(this.docs.count(), { code: 'ERR_CLOSED' })
    await this.open()
    await this.verify()
  }
}

/** Groups that are not what they should be, in words. */
function differences(found, expected) {
  const all = new Set([...found.keys(), ...expected.keys()])
  return [...all]
    .filter((group) => !same(found.get(group), expected.get(group)))
    .map((group) => {
      const shown = (state) => (state === undefined ? 'nothing' : `${state.v}/${state.f}`)
      return `group ${group} is ${shown(found.get(group))}, not ${shown(expected.get(group))}`
    })
}

function apply(model, changes) {
  for (const [group, state] of changes) {
    if (state === null) model.delete(group)
    else model.set(group, state)
  }
}

function same(found, state) {
  if (state === null || state === undefined) return found === undefined
  return found !== undefined && found.v === state.v && found.f === state.f
}

async function groupsOfHits(hits) {
  for (const { fields, key } of hits) ok(key.startsWith(`g${fields.group}-`), key)
}
