/**
 * Writes WBXML as ActiveSync has it, streamed: opaque content passes in pieces and is never kept, so that a mail of any
 * size costs no memory. Called by client.ts and back-end.ts; read-wbxml.ts is the other direction.
 *
 * The one library of the npm registry, `aswbxml`, has not been kept up, holds whole documents and cannot write opaque
 * content, which mail is.
 * Sources: WAP-192 (WBXML 1.3) 5.1-5.8, MS-ASWBXML 2.1.1 (features that ActiveSync uses).
 */
import { tokenOf } from './code-pages.ts';

/** An element to write; text and opaque content stand among its children. */
export interface Element {
  readonly name: string;
  readonly children: readonly (Element | string | Opaque)[];
}

/** Content of known length that comes in pieces. */
export interface Opaque {
  readonly lengthBytes: number;
  readonly chunks: Iterable<Buffer> | AsyncIterable<Buffer>;
}

/** A body that is not WBXML, or not as ActiveSync has it. */
export class WbxmlError extends Error {}

/** Shorthand: an element with these children. */
export const element = (name: string, ...children: Element['children']): Element => ({ name, children });

/** Version 1.3, public id 1, UTF-8, no string table. */
export const header = Buffer.from([0x03, 0x01, 0x6a, 0x00]);
/** Tokens that mean the same on every page. */
export const tokens = { switchPage: 0x00, end: 0x01, inlineString: 0x03, opaqueData: 0xc3 } as const;
/** Bits of an element's token beside its number. */
export const bits = { hasContent: 0x40, hasAttributes: 0x80 } as const;

/** The bytes of a document. */
export async function* encode(root: Element): AsyncGenerator<Buffer> {
  yield header;
  yield* encodeElement(root, { page: 0 });
}

/** Its length, without reading any opaque content. */
export const encodedLength = async (root: Element): Promise<number> => {
  let length = 0;
  for await (const piece of encode(withoutContent(root))) length += piece.length;
  return length + opaqueBytes(root);
};

const withoutContent = ({ name, children }: Element): Element => ({
  name,
  children: children.map((child) => {
    if (typeof child === 'string') return child;
    return 'chunks' in child ? { ...child, chunks: [] } : withoutContent(child);
  }),
});

const opaqueBytes = ({ children }: Element): number =>
  children
    .filter((child) => typeof child !== 'string')
    .reduce((sum, child) => sum + ('chunks' in child ? child.lengthBytes : opaqueBytes(child)), 0);

async function* encodeElement({ name, children }: Element, state: { page: number }): AsyncGenerator<Buffer> {
  const place = tokenOf(name);
  if (place === undefined) throw new WbxmlError(`${name} is in none of the code pages`);
  const switched = place.page === state.page ? [] : [tokens.switchPage, place.page];
  state.page = place.page;
  yield Buffer.from([...switched, children.length === 0 ? place.token : place.token | bits.hasContent]);
  if (children.length === 0) return;
  for (const child of children) {
    if (typeof child === 'string') yield encodeText(child);
    else if ('chunks' in child) yield* encodeOpaque(child);
    else yield* encodeElement(child, state);
  }
  yield Buffer.from([tokens.end]);
}

const encodeText = (text: string): Buffer => {
  if (text.includes('\0')) throw new WbxmlError('an inline string cannot hold NUL');
  return Buffer.concat([Buffer.from([tokens.inlineString]), Buffer.from(text, 'utf8'), Buffer.from([0])]);
};

async function* encodeOpaque({ lengthBytes, chunks }: Opaque): AsyncGenerator<Buffer> {
  yield Buffer.from([tokens.opaqueData, ...multiByte(lengthBytes)]);
  for await (const chunk of chunks) yield chunk;
}

/** mb_u_int32: seven bits a byte, the highest first, the eighth bit says that more follow. */
const multiByte = (value: number): number[] => {
  const bytes = [value & 0x7f];
  for (let rest = Math.floor(value / 128); rest > 0; rest = Math.floor(rest / 128))
    bytes.unshift((rest & 0x7f) | 0x80);
  return bytes;
};
