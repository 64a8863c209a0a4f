/**
 * Forwards one allowed request to the mail server and streams the answer back, buffering neither. Called by gate.ts.
 *
 * There is no time limit on the answer: Ping and Sync legitimately wait for an hour (MS-ASCMD 2.2.3.81.2, HeartbeatInterval).
 * A client that leaves ends the request to the mail server too, else abandoned long polls pile up there.
 */
import type { ServerResponse } from 'node:http';
import type { Readable } from 'node:stream';
import { type Dispatcher, Pool } from 'undici';
import { responseHeaders } from './headers.ts';
import { openConnector, type Trust } from './trust.ts';

/** What is sent on; `path` and `headers` are rebuilt, never the client's own. */
export interface Rebuilt {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'OPTIONS';
  readonly path: string;
  readonly headers: Record<string, string>;
  readonly body: Readable | Buffer | null;
}

/** A request on its way. */
export interface Forwarding {
  /** Settles once and never rejects: what went wrong, for the log, or null. */
  readonly done: Promise<string | null>;
  /** Ends the request to the mail server at once and leaves the client's response to the caller. */
  readonly abort: () => void;
}

/** Opens the connections to the mail server. */
export const openBackend = (backendUrl: URL, trust: Trust): Pool =>
  new Pool(backendUrl.origin, {
    headersTimeout: 0,
    bodyTimeout: 0,
    pipelining: 1,
    keepAliveTimeout: 30_000,
    maxHeaderSize: 64 * 1024,
    connect: openConnector(trust),
  });

/** Sends `rebuilt` and answers on `res`. */
export const forward = (backend: Pool, rebuilt: Rebuilt, res: ServerResponse, publicUrl: URL): Forwarding => {
  let controller: Dispatcher.DispatchController | undefined;
  let settled = false;
  let hasWritten = false;
  let announcedBytes = Number.NaN;
  let resolveDone: (fault: string | null) => void = () => {};
  const done = new Promise<string | null>((resolve) => {
    resolveDone = resolve;
  });
  const settle = (fault: string | null) => {
    settled = true;
    resolveDone(fault);
  };
  const abort = () => {
    settle(null);
    controller?.abort(new Error('ended by the proxy'));
  };
  res.once('close', () => {
    if (settled) return;
    settle(res.writableFinished ? null : 'the client left');
    // After a complete answer this ends what is left of a request that was answered before it was sent.
    controller?.abort(new Error('the client left'));
  });

  const handler: Dispatcher.DispatchHandler = {
    onRequestStart: (started) => {
      controller = started;
      if (settled) started.abort(new Error('ended before it was sent'));
    },
    onResponseStart: (started, status, headers) => {
      if (settled || status < 200) return;
      try {
        res.writeHead(status, responseHeaders(status, headers, publicUrl));
        announcedBytes = Number(headers['content-length']);
        // Usually the first bytes follow at once and leave in one packet with the headers; a long poll may make them wait.
        setImmediate(() => {
          if (!hasWritten && !settled) res.flushHeaders();
        });
      } catch (error) {
        started.abort(error as Error);
      }
    },
    onResponseData: (receiving, chunk) => {
      // Most answers come in one piece, and leave in one.
      if (!hasWritten && !settled && chunk.length === announcedBytes) {
        hasWritten = true;
        res.end(chunk);
        return;
      }
      hasWritten = true;
      if (settled || res.write(chunk)) return;
      receiving.pause();
      res.once('drain', () => receiving.resume());
    },
    onResponseEnd: () => {
      hasWritten = true;
      if (!settled && !res.writableEnded) res.end();
    },
    onResponseError: (_, error) => {
      if (settled) return;
      settle(error.message);
      answerFault(error, res);
    },
  };
  backend.dispatch(
    {
      path: rebuilt.path,
      method: rebuilt.method,
      headers: rebuilt.headers,
      body: rebuilt.body,
    },
    handler,
  );
  return { done, abort };
};

/** Codes of undici and the system that mean nobody is there, as against an answer that makes no sense. */
const unreachable =
  /ECONNREFUSED|ECONNRESET|EHOSTUNREACH|ENETUNREACH|ENOTFOUND|EAI_AGAIN|ETIMEDOUT|UND_ERR_CONNECT_TIMEOUT/;

const answerFault = (error: Error & { code?: string }, res: ServerResponse): void => {
  if (res.headersSent) {
    // The answer is incomplete and must not look complete.
    res.destroy();
    return;
  }
  const status = unreachable.test(error.code ?? '') ? 503 : 502;
  for (const name of res.getHeaderNames()) res.removeHeader(name);
  res.writeHead(status, {
    'content-type': 'text/plain; charset=utf-8',
    'retry-after': '30',
    connection: 'close',
  });
  res.end(
    status === 503 ? 'The mail server cannot be reached.\n' : 'The mail server gave no valid answer.\n',
  );
};
