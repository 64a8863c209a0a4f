/**
 * Takes the framing off a message body: a length, chunks, or the end of the connection. Called by connection.ts and
 * upstream.ts with each piece that arrives; knows no sockets.
 *
 * Chunks are read strictly, as heads are; extensions and trailers, which nobody here asks for, are checked and dropped.
 * Source: RFC 9112 6 (framing) and 7.1 (chunks).
 */

/** How a message says where its body ends. */
export type Framing =
  | { readonly kind: 'none' }
  | { readonly kind: 'length'; readonly sizeBytes: number }
  | { readonly kind: 'chunked' }
  /** Of answers only. */
  | { readonly kind: 'close' };

export const noBody: Framing = { kind: 'none' };

type Step = 'size' | 'data' | 'data-end' | 'trailer' | 'over';

/** Where in a body a reader is. Changed by `decode` alone. */
export interface Decoder {
  readonly kind: Framing['kind'];
  /** Bytes until the end of the body or, of chunks, of this chunk. */
  left: number;
  step: Step;
  /** The start of a line whose rest has not come yet. */
  line: string;
  trailerChars: number;
}

/** At the start of a body. */
export const openDecoder = (framing: Framing): Decoder => ({
  kind: framing.kind,
  left: framing.kind === 'length' ? framing.sizeBytes : 0,
  step: isEmpty(framing) ? 'over' : framing.kind === 'chunked' ? 'size' : 'data',
  line: '',
  trailerChars: 0,
});

const isEmpty = (framing: Framing): boolean =>
  framing.kind === 'none' || (framing.kind === 'length' && framing.sizeBytes === 0);

/** Told of each piece of the body, without its framing. */
export type Take<Context> = (context: Context, piece: Buffer) => void;

/**
 * Reads on in `bytes` from `from`. Answers where the body has stopped for now: at its end when `step` is `over`, else at
 * the end of `bytes`; -1 when it is malformed and nothing behind it can be trusted.
 */
export const decode = <Context>(
  decoder: Decoder,
  bytes: Buffer,
  from: number,
  take: Take<Context>,
  context: Context,
): number => {
  if (decoder.kind === 'chunked') return decodeChunks(decoder, bytes, from, take, context);
  if (decoder.step === 'over') return from;
  if (decoder.kind === 'close') {
    take(context, from === 0 ? bytes : bytes.subarray(from));
    return bytes.length;
  }
  return takeSome(decoder, bytes, from, take, context, 'over');
};

/** Takes as much of what is left as there is; goes to the next step when that was all. */
const takeSome = <Context>(
  decoder: Decoder,
  bytes: Buffer,
  from: number,
  take: Take<Context>,
  context: Context,
  next: Step,
): number => {
  const to = Math.min(bytes.length, from + decoder.left);
  decoder.left -= to - from;
  if (decoder.left === 0) decoder.step = next;
  if (to > from) take(context, from === 0 && to === bytes.length ? bytes : bytes.subarray(from, to));
  return to;
};

/** Longest line within chunks: a size with its extensions, or one trailer; and all trailers together. */
const maxLineChars = 1_024;
const maxTrailerChars = 8_192;

const sizeLine = /^([0-9A-Fa-f]{1,12})(?:[\t ]*;[\t\x20-\x7e\x80-\xff]*)?\r\n$/;
const trailerLine = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*\r\n$/;
const lineFeed = 10;

const decodeChunks = <Context>(
  decoder: Decoder,
  bytes: Buffer,
  from: number,
  take: Take<Context>,
  context: Context,
): number => {
  let at = from;
  while (at < bytes.length && decoder.step !== 'over') {
    if (decoder.step === 'data') {
      at = takeSome(decoder, bytes, at, take, context, 'data-end');
      continue;
    }
    const end = bytes.indexOf(lineFeed, at) + 1;
    decoder.line += bytes.toString('latin1', at, end === 0 ? bytes.length : end);
    if (decoder.line.length > maxLineChars) return -1;
    if (end === 0) return bytes.length;
    at = end;
    const { line } = decoder;
    decoder.line = '';
    if (!endLine(decoder, line)) return -1;
  }
  return at;
};

/** Takes a whole line; false when it must not be here. */
const endLine = (decoder: Decoder, line: string): boolean => {
  if (decoder.step === 'size') {
    const size = sizeLine.exec(line);
    if (size === null) return false;
    decoder.left = Number.parseInt(size[1] as string, 16);
    decoder.step = decoder.left === 0 ? 'trailer' : 'data';
    return true;
  }
  if (decoder.step === 'data-end') {
    decoder.step = 'size';
    return line === '\r\n';
  }
  if (line === '\r\n') {
    decoder.step = 'over';
    return true;
  }
  decoder.trailerChars += line.length;
  return decoder.trailerChars <= maxTrailerChars && trailerLine.test(line);
};

/** What stands before and behind a piece of a body that is sent in chunks. */
export const chunkStart = (sizeBytes: number): string => `${sizeBytes.toString(16)}\r\n`;
export const chunkEnd = '\r\n';
export const lastChunk = '0\r\n\r\n';
