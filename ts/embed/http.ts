// Vectors of a service, in the form that OpenAI made: POST { model, input } gives { data: [{ index, embedding }] }.
import { performance } from 'node:perf_hooks'
import { clearTimeout, setTimeout } from 'node:timers'
import { setTimeout as delay } from 'node:timers/promises'
import { isObject, isPlainObject, optionsOf, wholeNumber, wrong } from '../check.js'
import { CairnError, checked, isCairnError, type ErrorCode, type ErrorDetails } from '../errors.js'
import { limits } from '../limits.js'
import { listen } from '../signal.js'
import { embedder, nonEmpty } from './embedder.js'
import { isPassing, pauseMs, retryAfterMs } from './retry.js'
import type { Embedder, Embeddings } from './types.js'

/** Where the service is and how it is asked. */
export interface HttpOptions {
  /** The whole address, such as `https://api.openai.com/v1/embeddings` or `http://localhost:11434/v1/embeddings`. */
  readonly url: string | URL
  /** Name of the model, as the service knows it. */
  readonly model: string
  /** Components of its vectors. Integer 1-65,536. */
  readonly dim: number
  /** Sent as `Authorization: Bearer`. It is in no error and no message. */
  readonly key?: string | undefined
  /** Sent with every request; their values are taken for secrets, too. */
  readonly headers?: Readonly<Record<string, string>> | undefined
  /** More members of a request, such as `{ dimensions: 256 }`. */
  readonly body?: Readonly<Record<string, unknown>> | undefined
  /** Default the model's; name what else changes its vectors (`body`). */
  readonly name?: string | undefined
  /** Texts of one request. Integer 1-100,000, default 64. */
  readonly batch?: number | undefined
  /** Requests under way at a time. Integer 1-1,000, default 4. */
  readonly concurrency?: number | undefined
  /** Time for the texts of one request, all tries and pauses together. Integer from 1, default 60,000. */
  readonly timeoutMs?: number | undefined
  /** Further tries of a request. Integer 0-100, default 4. */
  readonly retries?: number | undefined
}

const names = new Set([
  'url',
  'model',
  'dim',
  'key',
  'headers',
  'body',
  'name',
  'batch',
  'concurrency',
  'timeoutMs',
  'retries',
])

/** Longest that a timer of Node waits. */
const timerMs = 2 ** 31 - 1
/** What is read of an answer that says why not, in bytes: more than a header holds, so that no secret is cut. */
const complaintBytesMax = 65_536
/** What is told of it, in characters. */
const complaintMax = 200

/**
 * An embedder behind HTTP: OpenAI, Ollama, vLLM, Text Embeddings Inference, and all that speak like them.
 *
 * What passes is tried again, after pauses that grow, and never before the `Retry-After` of the service: status 408,
 * 429 and 500 and more, and connections that fail. What lasts is an error: 401 `ERR_UNAUTHENTICATED`, 403
 * `ERR_FORBIDDEN`, 429 `ERR_RATE_LIMITED` (with `details.retryAfterMs`), no answer or 408 or 500 and more
 * `ERR_UNAVAILABLE`, `timeoutMs` over `ERR_DEADLINE`, an answer that is none or any other status, redirections
 * among them, `ERR_INVALID_ARGUMENT`; with `details.url` (without its query), `status` and `attempts`.
 *
 * @throws {CairnError} `ERR_INVALID_ARGUMENT`, `ERR_LIMIT_EXCEEDED`.
 */
export function http(options: HttpOptions): Embedder {
  return checked(() => {
    const { url, model, dim, key, headers, body, name, batch, concurrency, timeoutMs, retries } =
      optionsOf(options, names, 'http options')
    const known = nonEmpty(model, 'model')
    const address = addressOf(url)
    const sent = secretsOf(key, headers)
    const client = new Client({
      url: address,
      model: known,
      headers: sent.headers,
      secrets: [...sent.secrets, ...address.searchParams.values()].filter((one) => one !== ''),
      body: membersOf(body),
      timeoutMs: wholeNumber(timeoutMs ?? 60_000, 'timeoutMs', 1, timerMs),
      retries: wholeNumber(retries ?? 4, 'retries', 0, 100),
    })
    return embedder({
      dim: wholeNumber(dim, 'dim', 1, limits.dimMax),
      name: nonEmpty(name ?? known, 'name'),
      embed: (texts, { signal }) => client.embed(texts, signal),
      batch,
      concurrency: concurrency ?? 4,
    })
  })
}

interface Settings {
  readonly url: URL
  readonly model: string
  readonly headers: Headers
  /** What must not be told. */
  readonly secrets: readonly string[]
  readonly body: Readonly<Record<string, unknown>>
  readonly timeoutMs: number
  readonly retries: number
}

/** Why there are no vectors, and whether and when there may be. */
class Refusal {
  readonly error: CairnError
  readonly passing: boolean
  readonly afterMs: number | undefined

  constructor(error: CairnError, passing: boolean, afterMs?: number) {
    this.error = error
    this.passing = passing
    this.afterMs = afterMs
  }
}

class Client {
  readonly #settings: Settings
  readonly #where: string

  constructor(settings: Settings) {
    this.#settings = settings
    // A query may have a key in it.
    this.#where = `${settings.url.origin}${settings.url.pathname}`
  }

  async embed(texts: readonly string[], signal: AbortSignal): Promise<Embeddings> {
    const { timeoutMs } = this.#settings
    const ending = new AbortController()
    const over = (): void => {
      const details = { url: this.#where, timeoutMs }
      ending.abort(new CairnError('ERR_DEADLINE', 'the service did not answer in time', details))
    }
    const timer = setTimeout(over, timeoutMs)
    const unlisten = listen(signal, () => ending.abort(signal.reason))
    try {
      return await this.#try(texts, ending.signal, performance.now() + timeoutMs)
    } catch (error) {
      // What `fetch` makes of it differs from one Node to another.
      throw ending.signal.aborted ? ending.signal.reason : error
    } finally {
      clearTimeout(timer)
      unlisten()
    }
  }

  async #try(texts: readonly string[], signal: AbortSignal, deadline: number): Promise<Embeddings> {
    const { model, body, retries } = this.#settings
    const request = JSON.stringify({ ...body, model, input: texts })
    for (let attempt = 0; ; attempt += 1) {
      const answer = await this.#ask(request, attempt, texts.length, signal)
      if (!(answer instanceof Refusal)) return answer
      signal.throwIfAborted()
      const { error, passing, afterMs } = answer
      if (!passing || attempt >= retries) throw error
      const pause = pauseMs(attempt, afterMs, Math.random())
      // Waiting for what comes too late helps nobody.
      if (performance.now() + pause >= deadline) throw error
      await delay(pause, undefined, { signal })
    }
  }

  async #ask(
    body: string,
    attempt: number,
    rows: number,
    signal: AbortSignal,
  ): Promise<Embeddings | Refusal> {
    const { url, headers } = this.#settings
    const facts = { url: this.#where, attempts: attempt + 1 }
    try {
      // A redirection would take the headers to somebody else.
      const init = { method: 'POST', headers, body, signal, redirect: 'manual' } as const
      const response = await fetch(url, init)
      if (!response.ok) return await this.#refusal(response, facts)
      const text = await textOf(response, limits.batchBytesMax, facts)
      return embeddingsOf(text, rows, facts)
    } catch (error) {
      if (isCairnError(error)) throw error
      const what = 'the service cannot be reached'
      return new Refusal(new CairnError('ERR_UNAVAILABLE', what, facts, error), true)
    }
  }

  async #refusal(response: Response, before: ErrorDetails): Promise<Refusal> {
    const { status } = response
    const afterMs = retryAfterMs(response.headers.get('retry-after'), Date.now())
    const reason = await this.#complaint(response)
    const details = {
      ...before,
      status,
      ...(afterMs === undefined ? {} : { retryAfterMs: afterMs }),
      ...(reason === '' ? {} : { reason }),
    }
    const [code, what] = meaningOf(status)
    return new Refusal(new CairnError(code, what, details), isPassing(status), afterMs)
  }

  // What the service says helps; but who was told a wrong key may tell it again.
  async #complaint(response: Response): Promise<string> {
    const isAboutKeys = response.status === 401 || response.status === 403
    const text = await beginningOf(response, isAboutKeys ? 0 : complaintBytesMax)
    const hidden = this.#settings.secrets.reduce((all, one) => all.replaceAll(one, '***'), text)
    return hidden.slice(0, complaintMax)
  }
}

function meaningOf(status: number): readonly [ErrorCode, string] {
  if (status === 401) return ['ERR_UNAUTHENTICATED', 'the service does not know the key']
  if (status === 403) return ['ERR_FORBIDDEN', 'the service does not allow this']
  if (status === 429) return ['ERR_RATE_LIMITED', 'the service is asked too often']
  if (isPassing(status)) return ['ERR_UNAVAILABLE', 'the service cannot answer now']
  if (status < 400) return ['ERR_INVALID_ARGUMENT', 'the service has moved: give its new address']
  return ['ERR_INVALID_ARGUMENT', 'the service refuses the request']
}

/** The rows in the order of the texts, which `index` tells. */
function embeddingsOf(text: string, rows: number, facts: ErrorDetails): Embeddings {
  const data = dataOf(text)
  if (data === undefined) {
    const what = 'the answer is no list of embeddings: is this the address of /v1/embeddings?'
    throw new CairnError('ERR_INVALID_ARGUMENT', what, facts)
  }
  const vectors = Array.from<unknown>({ length: data.length })
  const seen = new Set<unknown>()
  for (const [at, entry] of data.entries()) {
    const { index = at, embedding } = isObject(entry) ? entry : {}
    const isPlace = typeof index === 'number' && Number.isInteger(index)
    if (!isPlace || index < 0 || index >= data.length || seen.has(index)) {
      throw new CairnError('ERR_INVALID_ARGUMENT', 'the answer numbers its vectors wrongly', facts)
    }
    seen.add(index)
    vectors[index] = embedding
  }
  if (vectors.length !== rows) {
    const details = { ...facts, expected: rows, got: vectors.length }
    throw new CairnError('ERR_DIM_MISMATCH', 'not one vector for each text', details)
  }
  // Whatever they are is looked at row by row.
  return vectors as Embeddings
}

function dataOf(text: string): readonly unknown[] | undefined {
  try {
    const answer: unknown = JSON.parse(text)
    const data = isObject(answer) ? answer['data'] : undefined
    return Array.isArray(data) ? data : undefined
  } catch {
    return undefined
  }
}

async function textOf(response: Response, bytesMax: number, facts: ErrorDetails): Promise<string> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of chunksOf(response)) {
    bytes += chunk.length
    if (bytes > bytesMax) {
      const details = { ...facts, limit: bytesMax }
      throw new CairnError('ERR_LIMIT_EXCEEDED', 'the answer is too large', details)
    }
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString()
}

/** So many bytes at most; nothing of a body that breaks off. The rest is not waited for. */
async function beginningOf(response: Response, bytesMax: number): Promise<string> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  try {
    for await (const chunk of chunksOf(response)) {
      chunks.push(chunk)
      bytes += chunk.length
      if (bytes >= bytesMax) break
    }
  } catch {
    return ''
  }
  return Buffer.concat(chunks).subarray(0, bytesMax).toString().trim()
}

function chunksOf({ body }: Response): AsyncIterable<Uint8Array> | readonly Uint8Array[] {
  return (body as AsyncIterable<Uint8Array> | null) ?? []
}

function addressOf(given: unknown): URL {
  const url = parsed(given)
  if (url?.protocol !== 'http:' && url?.protocol !== 'https:') {
    throw wrong('url is the address of a service', 'http: or https:', typeof given, 'url')
  }
  // `fetch` would refuse them, and say them.
  if (url.username !== '' || url.password !== '') {
    throw new CairnError('ERR_INVALID_ARGUMENT', 'a secret in url belongs into key or headers', {
      path: 'url',
    })
  }
  return url
}

function parsed(given: unknown): URL | undefined {
  if (typeof given !== 'string' && !(given instanceof URL)) return undefined
  try {
    return new URL(given)
  } catch {
    return undefined
  }
}

function secretsOf(key: unknown, given: unknown): Pick<Settings, 'headers' | 'secrets'> {
  const own = given ?? {}
  if (!isPlainObject(own)) throw wrong('headers must be a plain object', 'object', given, 'headers')
  const headers = new Headers()
  const secrets: string[] = []
  const set = (name: string, value: unknown, path: string, prefix: string): void => {
    if (typeof value !== 'string' || value === '') throw unsendable(path)
    try {
      headers.set(name, prefix + value)
    } catch {
      // Its message has the value in it.
      throw unsendable(path)
    }
    secrets.push(value)
  }
  for (const [name, value] of Object.entries(own)) set(name, value, `headers.${name}`, '')
  if (key !== undefined) {
    if (headers.has('authorization')) {
      const details = { path: 'headers.authorization' }
      throw new CairnError('ERR_INVALID_ARGUMENT', 'key is sent in this header', details)
    }
    set('authorization', key, 'key', 'Bearer ')
  }
  headers.set('content-type', 'application/json')
  return { headers, secrets }
}

function unsendable(path: string): CairnError {
  const details = { path, expected: 'string of visible characters' }
  return new CairnError('ERR_INVALID_ARGUMENT', 'no value of a header', details)
}

/** A copy, as JSON: what cannot be sent is refused now. */
function membersOf(body: unknown): Readonly<Record<string, unknown>> {
  if (body === undefined) return {}
  if (!isPlainObject(body)) throw wrong('body must be a plain object', 'object', body, 'body')
  for (const path of ['body.model', 'body.input']) {
    if (!(path.slice('body.'.length) in body)) continue
    throw new CairnError('ERR_INVALID_ARGUMENT', 'this member of a request is set already', {
      path,
    })
  }
  return JSON.parse(JSON.stringify(body)) as Record<string, unknown>
}
