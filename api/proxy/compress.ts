/**
 * Compresses an endless answer so that every piece written can be read at once. Called by api/proxy/feed.ts.
 */
import { constants, createGzip } from 'node:zlib';
import type { OpenStream } from '../stream.ts';

/** A window of 16 KiB and little state: there is one of these for each proxy, and batches are alike. */
const options = { level: 4, windowBits: 14, memLevel: 7 };

/** Writes to `stream` in gzip (RFC 1952), flushed after each piece. */
export const compressed = (
  stream: OpenStream,
): { readonly write: (text: string) => Promise<void>; readonly close: () => void } => {
  const gzip = createGzip(options);
  let pieces: Buffer[] = [];
  gzip.on('data', (piece: Buffer) => pieces.push(piece));
  const flush = () => new Promise<void>((resolve) => gzip.flush(constants.Z_SYNC_FLUSH, resolve));
  return {
    write: async (text) => {
      gzip.write(text);
      await flush();
      const bytes = Buffer.concat(pieces);
      pieces = [];
      await stream.write(bytes);
    },
    close: () => gzip.destroy(),
  };
};
