// The sample of the README must compile as it stands.
import { open } from '#ts/index.js'

const db = await open('./data') // a directory; created when missing
const docs = await db.collection('docs', {
  vectors: { body: { dim: 3, metric: 'cosine' } },
  fields: { title: 'text', lang: 'keyword', year: 'int', tags: 'keyword[]' },
})

await docs.upsert([
  {
    key: 'a1',
    vectors: { body: [0.9, 0.1, 0] },
    fields: { title: 'Tides', lang: 'en', year: 2024, tags: ['sea'] },
  },
  {
    key: 'a2',
    vectors: { body: [0, 0.2, 0.9] },
    fields: { title: 'Peaks', lang: 'en', year: 2023 },
  },
]) // acknowledged: it is on the disk now

const hits = await docs.search({ vector: [1, 0, 0], k: 2, select: ['title'] })
for (const hit of hits) console.log(hit.key, hit.score.toFixed(3), hit.fields.title)
// a1 0.994 Tides
// a2 0.000 Peaks

await db.close()
