/**
 * Reads WBXML as ActiveSync has it, streamed: of opaque content only a digest is kept. Called by client.ts and back-end.ts.
 * Sources: WAP-192 (WBXML 1.3) 5.1-5.8, MS-ASWBXML 2.1.1 (features that ActiveSync uses).
 */
import { createHash } from 'node:crypto';
import { nameOf } from './code-pages.ts';
import { bits, header, tokens, WbxmlError } from './wbxml.ts';

/** An element that was read: opaque content has become its digest. */
export interface ReadElement {
  readonly name: string;
  readonly children: readonly (ReadElement | string | Digest)[];
}

/** What is kept of opaque content. */
export interface Digest {
  readonly lengthBytes: number;
  readonly sha256: string;
}

/** Is shown each piece of opaque content; the next is not read before it is done. */
export type Look = (piece: Buffer) => void | Promise<void>;

/** Takes bytes out of a stream in the portions that the format asks for. */
interface Reader {
  /** The next byte, undefined at the end. */
  readonly next: () => Promise<number | undefined>;
  readonly upTo: (count: number) => Promise<Buffer>;
}

const openReader = (source: AsyncIterable<Buffer> | Iterable<Buffer>): Reader => {
  const chunks = Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]();
  let chunk: Buffer = Buffer.alloc(0);
  let at = 0;
  const refill = async (): Promise<boolean> => {
    while (at === chunk.length) {
      const next = await chunks.next();
      if (next.done) return false;
      chunk = next.value;
      at = 0;
    }
    return true;
  };
  return {
    next: async () => {
      if (at === chunk.length && !(await refill())) return undefined;
      at += 1;
      return chunk[at - 1];
    },
    upTo: async (count) => {
      if (!(await refill())) throw new WbxmlError('the document ends in the middle');
      const piece = chunk.subarray(at, at + count);
      at += piece.length;
      return piece;
    },
  };
};

/** Deeper documents than ActiveSync has exhaust nobody's stack. */
const maxDepth = 32;
/** Texts of ActiveSync are short; long content is opaque. */
const maxTextBytes = 256 * 1024;

/** Reads one document to its end; null when there are no bytes at all. `look` is shown every piece of opaque content. */
export const decode = async (
  source: AsyncIterable<Buffer> | Iterable<Buffer>,
  look: Look = () => {},
): Promise<ReadElement | null> => {
  const reader = openReader(source);
  for (const [at, expected] of header.entries()) {
    const byte = await reader.next();
    if (at === 0 && byte === undefined) return null;
    if (byte !== expected) throw new WbxmlError('not the header of ActiveSync');
  }
  const state = { page: 0, look };
  const root = await readNode(reader, state, await mustNext(reader), 0);
  if (root === undefined || typeof root === 'string' || !('name' in root))
    throw new WbxmlError('no root element');
  if ((await reader.next()) !== undefined) throw new WbxmlError('bytes after the root element');
  return root;
};

const mustNext = async (reader: Reader): Promise<number> => {
  const byte = await reader.next();
  if (byte === undefined) throw new WbxmlError('the document ends in the middle');
  return byte;
};

interface ReadState {
  page: number;
  readonly look: Look;
}

/** One node that begins with `first`; undefined is the end of the element around it. */
const readNode = async (
  reader: Reader,
  state: ReadState,
  first: number,
  depth: number,
): Promise<ReadElement | string | Digest | undefined> => {
  let token = first;
  while (token === tokens.switchPage) {
    state.page = await mustNext(reader);
    token = await mustNext(reader);
  }
  if (token === tokens.end) return undefined;
  if (token === tokens.inlineString) return readText(reader);
  if (token === tokens.opaqueData) return readOpaque(reader, state.look);
  return readElement(reader, state, token, depth);
};

const readElement = async (
  reader: Reader,
  state: ReadState,
  token: number,
  depth: number,
): Promise<ReadElement> => {
  const name = token >= bits.hasAttributes ? undefined : nameOf(state.page, token & 0x3f);
  if (name === undefined) throw new WbxmlError(`token ${token} of page ${state.page} is unknown`);
  if (depth > maxDepth) throw new WbxmlError('too deep');
  const children: ReadElement['children'][number][] = [];
  if ((token & bits.hasContent) === 0) return { name, children };
  for (;;) {
    const child = await readNode(reader, state, await mustNext(reader), depth + 1);
    if (child === undefined) return { name, children };
    children.push(child);
  }
};

const readText = async (reader: Reader): Promise<string> => {
  const bytes: number[] = [];
  for (let byte = await mustNext(reader); byte !== 0; byte = await mustNext(reader)) {
    if (bytes.length >= maxTextBytes) throw new WbxmlError('a text is too long');
    bytes.push(byte);
  }
  return Buffer.from(bytes).toString('utf8');
};

const readOpaque = async (reader: Reader, look: Look): Promise<Digest> => {
  let lengthBytes = 0;
  for (let more = true; more; ) {
    const byte = await mustNext(reader);
    lengthBytes = lengthBytes * 128 + (byte & 0x7f);
    if (lengthBytes > 0xffff_ffff) throw new WbxmlError('a length is beyond 32 bits');
    more = byte >= 0x80;
  }
  const hash = createHash('sha256');
  for (let left = lengthBytes; left > 0; ) {
    const piece = await reader.upTo(left);
    left -= piece.length;
    await look(piece);
    hash.update(piece);
  }
  return { lengthBytes, sha256: hash.digest('hex') };
};

type Found = ReadElement | null | undefined;

/** The element at a path of names below `root`, each without its namespace; the first of several. */
export const find = (root: Found, ...path: string[]): ReadElement | undefined =>
  path.reduce<Found>((found, name) => all(found, name)[0], root) ?? undefined;

/** The children of that name (without namespace). */
export const all = (root: Found, name: string): readonly ReadElement[] =>
  (root?.children ?? []).filter(
    (child): child is ReadElement =>
      typeof child !== 'string' && 'name' in child && child.name.split(':')[1] === name,
  );

/** The text at a path; undefined when there is no such element. */
export const text = (root: Found, ...path: string[]): string | undefined => {
  const found = find(root, ...path);
  return found?.children.filter((child) => typeof child === 'string').join('');
};

/** The opaque content at a path. */
export const digest = (root: Found, ...path: string[]): Digest | undefined =>
  find(root, ...path)?.children.find(
    (child): child is Digest => typeof child !== 'string' && 'sha256' in child,
  );
