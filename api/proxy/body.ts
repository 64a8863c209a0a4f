/**
 * Reads what a proxy posts: JSON of a bounded size. Called by ask.ts and status.ts.
 */
import type { IncomingMessage } from 'node:http';
import { MusterError } from '../../platform/errors.ts';

/** The body as it was parsed. Throws `body-too-large` beyond `mostBytes`, and `invalid-json`. */
export const readBody = async (req: IncomingMessage, mostBytes: number): Promise<unknown> => {
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  for await (const chunk of req as AsyncIterable<Buffer>) {
    sizeBytes += chunk.length;
    if (sizeBytes > mostBytes) throw new MusterError('body-too-large', `at most ${mostBytes} bytes`);
    chunks.push(chunk);
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8'));
  } catch (cause) {
    throw new MusterError('invalid-json', '', { cause });
  }
};
