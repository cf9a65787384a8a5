// The helper of the README must compile as it stands.
import type { Collection, Schema } from '#ts/index.js'

const schema = {
  vectors: { dim: 3, metric: 'cosine' },
  fields: { title: 'text', year: 'int' },
  extra: 'reject', // a name that is not declared does not compile
} as const satisfies Schema

export const titles = async (books: Collection<typeof schema>, vector: number[]) =>
  (await books.search({ vector })).map(({ fields }) => fields.title)
