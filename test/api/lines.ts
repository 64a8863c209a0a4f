/**
 * Reads an endless HTTP answer piece by piece. Called by the tests of feeds and subscriptions in test/api.
 */
import { type IncomingHttpHeaders, request } from 'node:http';
import { request as requestTls } from 'node:https';
import { createGunzip } from 'node:zlib';

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
  options: {
    method?: string;
    headers?: Record<string, string>;
    body?: string;
    separator?: string;
    /** For https: whom to trust, and who we are. */
    tls?: { ca: string; cert?: string; key?: string };
  } = {},
): Promise<Reading> =>
  new Promise((resolve, reject) => {
    const { method = 'GET', headers = {}, body, separator = '\n' } = options;
    const send = url.startsWith('https:') ? requestTls : request;
    const sent = send(url, { method, headers, agent: false, ...options.tls }, (res) => {
      const text = res.headers['content-encoding'] === 'gzip' ? res.pipe(createGunzip()) : res;
      const pieces: string[] = [];
      let rest = '';
      let over = false;
      let wake = () => {};
      text.setEncoding('utf8');
      text.on('data', (chunk: string) => {
        const parts = (rest + chunk).split(separator);
        rest = parts.pop() ?? '';
        pieces.push(...parts);
        wake();
      });
      const finish = () => {
        over = true;
        wake();
      };
      text.on('end', finish).on('close', finish).on('error', finish);
      // What is cut leaves the other end of the pipe open.
      res.on('aborted', finish).on('error', finish);
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
