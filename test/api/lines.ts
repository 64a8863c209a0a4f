/**
 * Reads an endless HTTP answer piece by piece. Called by test/api/{feeds,subscription}.test.ts.
 */
import type { IncomingHttpHeaders } from 'node:http';
import { request } from 'node:http';

/** An endless answer being read. */
export interface Reading {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** The next piece; undefined once the server ended the answer. */
  next(): Promise<string | undefined>;
  /** Reads on until a piece is `wanted`; throws when the answer ends before. */
  until<T>(wanted: (piece: string) => T | undefined): Promise<T>;
  /** Hangs up. */
  close(): void;
}

/** Sends a request and reads its answer in pieces that `separator` ends. */
export const openReading = (
  url: string,
  options: { method?: string; headers?: Record<string, string>; body?: string; separator?: string } = {},
): Promise<Reading> =>
  new Promise((resolve, reject) => {
    const { method = 'GET', headers = {}, body, separator = '\n' } = options;
    const sent = request(url, { method, headers, agent: false }, (res) => {
      const pieces: string[] = [];
      let rest = '';
      let over = false;
      let wake = () => {};
      res.setEncoding('utf8');
      res.on('data', (chunk: string) => {
        const parts = (rest + chunk).split(separator);
        rest = parts.pop() ?? '';
        pieces.push(...parts);
        wake();
      });
      const finish = () => {
        over = true;
        wake();
      };
      res.on('end', finish).on('close', finish).on('error', finish);
      const next = async (): Promise<string | undefined> => {
        while (pieces.length === 0 && !over)
          await new Promise<void>((ring) => {
            wake = ring;
          });
        const piece = pieces.shift();
        if (piece !== undefined || rest === '') return piece;
        const ending = rest;
        rest = '';
        return ending;
      };
      resolve({
        status: res.statusCode ?? 0,
        headers: res.headers,
        next,
        async until(wanted) {
          for (;;) {
            const piece = await next();
            if (piece === undefined) throw new Error('the answer ended before');
            const found = wanted(piece);
            if (found !== undefined) return found;
          }
        },
        close: () => sent.destroy(),
      });
    });
    sent.on('error', reject);
    sent.end(body);
  });
