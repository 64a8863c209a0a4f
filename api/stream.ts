/**
 * Endless HTTP answers: written no faster than the client reads, ended when it leaves or the server stops.
 * Called by api/proxy/feed.ts and api/events/feed.ts.
 */
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';

/** An answer that goes on until `signal` aborts. */
export interface OpenStream {
  readonly signal: AbortSignal;
  /** Writes text, then waits until the client has room for more; nothing is written any more after the end. */
  write(text: string | Buffer): Promise<void>;
  /** Ends the answer. */
  end(): void;
}

/** Sends the head of an endless answer. `stopping` ends it with the server. */
export const openStream = (res: ServerResponse, contentType: string, stopping: AbortSignal): OpenStream => {
  const gone = new AbortController();
  res.once('close', () => gone.abort());
  res.on('error', () => gone.abort());
  const signal = AbortSignal.any([gone.signal, stopping]);
  res.writeHead(200, {
    'content-type': contentType,
    'cache-control': 'no-store',
    // Reverse proxies of the nginx family hold answers back unless told not to.
    'x-accel-buffering': 'no',
  });
  res.flushHeaders();
  return {
    signal,
    async write(text) {
      if (signal.aborted || res.write(text)) return;
      await once(res, 'drain', { signal }).catch(() => {});
    },
    end() {
      gone.abort();
      res.end();
    },
  };
};
