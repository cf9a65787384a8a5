// A server of embeddings on this machine, that answers as a test says.
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type ServerResponse,
} from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { performance } from 'node:perf_hooks'
import type { ExecutionContext } from 'ava'

/** What was asked. */
export interface EmbeddingRequest {
  readonly method: string | undefined
  readonly url: string | undefined
  readonly headers: IncomingHttpHeaders
  readonly json: { readonly model: string; readonly input: readonly string[] }
  /** When, in milliseconds. */
  readonly at: number
}

/** What is answered. */
export interface EmbeddingAnswer {
  readonly status?: number
  readonly headers?: Readonly<Record<string, string>>
  /** As JSON. */
  readonly body?: unknown
  /** As it is. */
  readonly text?: string
  /** The connection ends without an answer, or within it; or nothing happens. */
  readonly hangUp?: 'before' | 'within' | 'never'
}

export interface EmbeddingServer {
  readonly url: string
  readonly requests: readonly EmbeddingRequest[]
  /** Requests under way at a time, at most. */
  readonly most: number
  close(): Promise<void>
}

/** Listens until the end of the test. */
export async function embeddingServer(
  t: Pick<ExecutionContext, 'teardown'>,
  answer: (
    json: EmbeddingRequest['json'],
    at: number,
    request: EmbeddingRequest,
  ) => EmbeddingAnswer,
): Promise<EmbeddingServer> {
  const requests: EmbeddingRequest[] = []
  let under = 0
  let most = 0
  const serve = async (incoming: IncomingMessage, response: ServerResponse): Promise<void> => {
    under += 1
    most = Math.max(most, under)
    response.on('close', () => {
      under -= 1
    })
    const { method, url, headers } = incoming
    const json = JSON.parse(await text(incoming)) as EmbeddingRequest['json']
    const request = { method, url, headers, json, at: performance.now() }
    requests.push(request)
    const said = answer(json, requests.length - 1, request)
    if (said.hangUp === 'never') return
    if (said.hangUp === 'before') {
      incoming.socket.destroy()
      return
    }
    response.writeHead(said.status ?? 200, { 'content-type': 'application/json', ...said.headers })
    if (said.hangUp === 'within') {
      response.write('{"data":[', () => incoming.socket.destroy())
      return
    }
    response.end(said.text ?? JSON.stringify(said.body ?? {}))
  }
  const server = createServer((incoming, response) => void serve(incoming, response))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const close = (): Promise<void> =>
    new Promise((resolve) => {
      server.close(() => resolve())
      server.closeAllConnections()
    })
  t.teardown(close)
  return {
    url: `http://127.0.0.1:${port}/v1/embeddings`,
    requests,
    get most() {
      return most
    },
    close,
  }
}

/** All in one component. */
export function vectorOf(at: number, dim: number): number[] {
  return Array.from({ length: dim }, (_, component) => (component === at ? 1 : 0))
}
