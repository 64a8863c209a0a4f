/**
 * Looks into request bodies before they are forwarded: the first bytes of any, the whole of a small one. Called by gate.ts.
 */
import type { IncomingMessage } from 'node:http';

/** The start of a body, and the whole body again: as bytes when it has ended, else as the request with nothing missing. */
export interface Peeked {
  readonly head: Buffer;
  readonly body: Buffer | IncomingMessage;
  /** False when the client left before it had sent all that it announced. */
  readonly isSound: boolean;
}

/** Waits for `wantedBytes` or the end of the body. The rest stays unread until somebody reads it. */
export const peekInto = (req: IncomingMessage, wantedBytes: number): Promise<Peeked> =>
  new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let size = 0;
    const stop = () => void req.off('data', take).off('end', finish).off('close', finish);
    const joined = () => (chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks));
    const finish = () => {
      stop();
      const head = joined();
      resolve({ head, body: head, isSound: req.complete });
    };
    const take = (chunk: Buffer) => {
      chunks.push(chunk);
      size += chunk.length;
      if (size < wantedBytes) return;
      req.pause();
      stop();
      const head = joined();
      req.unshift(head);
      resolve({ head, body: req, isSound: true });
    };
    req.on('data', take).on('end', finish).on('close', finish);
    // A client that left earlier sends no event any more.
    if (req.destroyed) finish();
  });
