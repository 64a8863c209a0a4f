/**
 * A small HTTP client for the server's own interfaces, as an outside program would use them.
 * Called by simulate.ts and demo.ts.
 */
import { readFileSync } from 'node:fs';
import { Agent, type Dispatcher, request } from 'undici';
import { documentId } from '../api/graphql/documents.ts';
import { MusterError } from '../platform/errors.ts';

/** An HTTP answer with its JSON body (null when the body is empty or not JSON). */
export interface Answer<Body = unknown> {
  readonly status: number;
  readonly headers: Dispatcher.ResponseData['headers'];
  readonly body: Body;
}

/** Calls one server over kept-alive connections. */
export interface Client {
  readonly url: string;
  /** POSTs JSON; any status is an answer. Connection failures throw `dependency-unavailable`. */
  post<Body>(path: string, body: unknown, token?: string): Promise<Answer<Body>>;
  /** Runs a GraphQL document and answers its data; GraphQL errors throw `internal` with their messages. */
  graphql<Data>(query: string, variables?: Record<string, unknown>, token?: string): Promise<Data>;
  /** Runs one of the server's own documents, named by its operation; answers and throws like `graphql`. */
  run<Data>(name: string, variables?: Record<string, unknown>, token?: string): Promise<Data>;
  /** Lines of an endless response, until the caller stops reading or `signal` aborts, which throws. */
  lines(
    path: string,
    token: string,
    headers: Record<string, string>,
    signal: AbortSignal,
  ): AsyncGenerator<string>;
  close(): Promise<void>;
}

const authorization = (token?: string): Record<string, string> =>
  token === undefined ? {} : { authorization: `Bearer ${token}` };

async function* splitLines(chunks: AsyncIterable<Buffer>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of chunks) {
    const parts = (rest + decoder.decode(chunk, { stream: true })).split('\n');
    rest = parts.pop() as string;
    yield* parts;
  }
}

/** Opens a client with at most `connections` connections; `caFile` (PEM) verifies a certificate of one's own CA. */
export const openClient = (
  url: string,
  options: { connections?: number; caFile?: string | undefined } = {},
): Client => {
  const ca = options.caFile === undefined ? {} : { connect: { ca: readFileSync(options.caFile) } };
  const dispatcher = new Agent({ connections: options.connections ?? 16, ...ca });
  const post = async <Body>(path: string, body: unknown, token?: string): Promise<Answer<Body>> => {
    try {
      const answer = await request(`${url}${path}`, {
        dispatcher,
        method: 'POST',
        headers: { 'content-type': 'application/json', accept: 'application/json', ...authorization(token) },
        body: JSON.stringify(body),
      });
      const text = await answer.body.text();
      const isJson = String(answer.headers['content-type'] ?? '').includes('json');
      return {
        status: answer.statusCode,
        headers: answer.headers,
        body: (isJson ? JSON.parse(text) : null) as Body,
      };
    } catch (cause) {
      throw new MusterError('dependency-unavailable', `${url}${path}: ${(cause as Error).message}`, {
        cause,
      });
    }
  };
  const graphql = async <Data>(request: object, token?: string): Promise<Data> => {
    type Result = { data?: Data; errors?: { message: string }[]; detail?: string };
    const { status, body } = await post<Result | null>('/graphql', request, token);
    if (body?.data && !body.errors) return body.data;
    const reason = body?.errors?.map((error) => error.message).join('; ') ?? body?.detail ?? `HTTP ${status}`;
    throw new MusterError('internal', `GraphQL at ${url}: ${reason}`);
  };
  return {
    url,
    post,
    graphql: (query, variables = {}, token) => graphql({ query, variables }, token),
    run: (name, variables = {}, token) => graphql({ documentId: documentId(name), variables }, token),
    async *lines(path, token, headers, signal) {
      const { statusCode, body } = await request(`${url}${path}`, {
        dispatcher,
        headers: { ...authorization(token), ...headers },
        headersTimeout: 0,
        bodyTimeout: 0,
        signal,
      });
      if (statusCode !== 200)
        throw new MusterError('forbidden', `${path} answered HTTP ${statusCode}: ${await body.text()}`);
      try {
        yield* splitLines(body);
      } finally {
        body.destroy();
      }
    },
    close: () => dispatcher.close(),
  };
};
