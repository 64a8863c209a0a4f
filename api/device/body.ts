/**
 * Reads the JSON body of a device's request within limits: size on the wire and unpacked, depth, strict UTF-8.
 * Called by enrol.ts and sync.ts after the request was authenticated.
 */
import { isUtf8 } from 'node:buffer';
import type { IncomingMessage } from 'node:http';
import { promisify } from 'node:util';
import { gunzip, gunzipSync } from 'node:zlib';
import { MusterError } from '../../platform/errors.ts';

/** Limits of a body. Sizes in bytes. */
export const bodyLimits = {
  /** Of the body, packed and unpacked alike. */
  sizeBytes: 1_048_576,
  /** A gzip body may unpack to this many times its size; small ones to `unpackedFloorBytes` in any case. */
  unpackRatio: 100,
  unpackedFloorBytes: 65_536,
  depth: 10,
} as const;

/** Bodies of at most this size are unpacked at once: a thread would cost more than it saves. */
const unpackAtOnceBytes = 4096;

const gunzipInThread = promisify(gunzip);

const tooLarge = () => new MusterError('body-too-large', `at most ${bodyLimits.sizeBytes} bytes`);

/** Refuses media types other than JSON in UTF-8, and encodings other than gzip; answers whether it is gzip. */
const isPacked = (req: IncomingMessage): boolean => {
  const type = req.headers['content-type'];
  if (type !== 'application/json' && !/^application\/json(\s*;\s*charset="?utf-8"?)?\s*$/i.test(type ?? ''))
    throw new MusterError('unsupported-media-type', 'application/json is needed', { field: 'Content-Type' });
  const encoding = req.headers['content-encoding']?.toLowerCase() ?? 'identity';
  if (encoding === 'identity') return false;
  if (encoding === 'gzip') return true;
  throw new MusterError('unsupported-encoding', 'gzip or identity is needed', { field: 'Content-Encoding' });
};

/** The body's bytes as they arrived. A body that is too large is not kept; what is left of it is discarded. */
const receive = (req: IncomingMessage): Promise<Buffer> =>
  new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let sizeBytes = 0;
    req.on('data', (chunk: Buffer) => {
      sizeBytes += chunk.length;
      if (sizeBytes <= bodyLimits.sizeBytes) chunks.push(chunk);
      else {
        chunks.length = 0;
        reject(tooLarge());
        req.removeAllListeners('data').resume();
      }
    });
    req.once('end', () => resolve(chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks)));
    const cutOff = () => reject(new MusterError('invalid-json', 'the body was cut off'));
    req.once('error', cutOff);
    req.once('close', () => {
      // Every request closes; an error costs its stack.
      if (!req.complete) cutOff();
    });
  });

const unpack = async (packed: Buffer): Promise<Buffer> => {
  const { sizeBytes, unpackRatio, unpackedFloorBytes } = bodyLimits;
  const maxOutputLength = Math.min(sizeBytes, Math.max(unpackedFloorBytes, unpackRatio * packed.length));
  try {
    return packed.length <= unpackAtOnceBytes
      ? gunzipSync(packed, { maxOutputLength })
      : await gunzipInThread(packed, { maxOutputLength });
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') throw tooLarge();
    throw new MusterError('invalid-json', 'the gzip data is damaged', { cause });
  }
};

/** UTF-16 units that the scan looks for. */
const unitOf = {
  quote: 34,
  backslash: 92,
  openBrace: 123,
  openBracket: 91,
  closeBrace: 125,
  closeBracket: 93,
  colon: 58,
} as const;

/** Position of the quote that ends the string whose content starts at `from`. */
const endOfString = (text: string, from: number): number => {
  for (let end = text.indexOf('"', from); end !== -1; end = text.indexOf('"', end + 1)) {
    let slashes = 0;
    while (text.charCodeAt(end - 1 - slashes) === unitOf.backslash) slashes += 1;
    if (slashes % 2 === 0) return end;
  }
  return text.length;
};

/** Counts the keys of a JSON text, refusing one that is nested too deeply, without building anything. */
const scan = (text: string): number => {
  let depth = 0;
  let keys = 0;
  for (let index = 0; index < text.length; index += 1) {
    const unit = text.charCodeAt(index);
    if (unit === unitOf.quote) index = endOfString(text, index + 1);
    else if (unit === unitOf.colon) keys += 1;
    else if (unit === unitOf.openBrace || unit === unitOf.openBracket) {
      depth += 1;
      if (depth > bodyLimits.depth)
        throw new MusterError('body-too-deep', `at most ${bodyLimits.depth} levels`);
    } else if (unit === unitOf.closeBrace || unit === unitOf.closeBracket) depth -= 1;
  }
  return keys;
};

const countKeys = (value: unknown): number => {
  if (typeof value !== 'object' || value === null) return 0;
  let keys = Array.isArray(value) ? 0 : Object.keys(value).length;
  for (const item of Object.values(value)) keys += countKeys(item);
  return keys;
};

/** Parses JSON of bounded depth. A key that appears twice in one object is refused: which one counts is a guess. */
export const parseJson = (bytes: Buffer): unknown => {
  if (!isUtf8(bytes)) throw new MusterError('invalid-json', 'the body is not UTF-8');
  const text = bytes.toString('utf8');
  const keys = scan(text);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new MusterError('invalid-json', 'it cannot be parsed', { cause });
  }
  if (countKeys(value) !== keys) throw new MusterError('invalid-json', 'a key appears twice');
  return value;
};

/**
 * The JSON value of a request's body. Throws `unsupported-media-type`, `unsupported-encoding`, `body-too-large`,
 * `body-too-deep` or `invalid-json`.
 */
export const readJson = async (req: IncomingMessage): Promise<unknown> => {
  const packed = isPacked(req);
  if (Number(req.headers['content-length'] ?? 0) > bodyLimits.sizeBytes) throw tooLarge();
  const bytes = await receive(req);
  return parseJson(packed ? await unpack(bytes) : bytes);
};
