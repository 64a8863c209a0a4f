/**
 * Values as PowerShell serialises them (MS-PSRP 2.2.5): written for arguments of cmdlets, read from their output.
 * Called by messages.ts and pipeline.ts.
 */
import type { Element } from '@xmldom/xmldom';
import type { Argument } from '../cmdlets.ts';
import { childrenOf, escapeXml } from './xml.ts';

const hex = (unit: string): string => `_x${unit.charCodeAt(0).toString(16).toUpperCase().padStart(4, '0')}_`;

/** Characters that XML cannot hold, and underscores that would read as an escape (MS-PSRP 2.2.5.3.2). */
const encodeText = (text: string): string =>
  escapeXml(text.replace(/_(?=x[0-9a-fA-F]{4}_)/g, hex).replace(/[\p{Cc}\p{Cs}\ufffe\uffff]/gu, hex));
const decodeText = (text: string): string =>
  text.replace(/_x([0-9a-fA-F]{4})_/g, (_all, code: string) =>
    String.fromCharCode(Number.parseInt(code, 16)),
  );

/** `N` attribute: names of properties are escaped like text. */
const named = (name?: string): string => (name === undefined ? '' : ` N="${encodeText(name)}"`);

export const textOf = (value: string, name?: string): string => `<S${named(name)}>${encodeText(value)}</S>`;
export const boolOf = (value: boolean, name?: string): string => `<B${named(name)}>${value}</B>`;
export const intOf = (value: number, name?: string): string => `<I32${named(name)}>${value}</I32>`;
export const nilOf = (name?: string): string => `<Nil${named(name)}/>`;

/** One argument. `refId` tells its object from the others of the same message. */
export const argumentOf = (value: Argument, name: string, refId: number): string => {
  if (typeof value === 'string') return textOf(value, name);
  if (typeof value === 'boolean') return boolOf(value, name);
  const entries = (
    [
      ['Add', value.add],
      ['Remove', value.remove],
    ] as const
  ).filter((entry): entry is readonly ['Add' | 'Remove', string] => entry[1] !== undefined);
  const inside = entries.map(([key, id]) => `<En>${textOf(key, 'Key')}${textOf(id, 'Value')}</En>`).join('');
  return (
    `<Obj${named(name)} RefId="${refId}"><TN RefId="${refId}"><T>System.Collections.Hashtable</T>` +
    `<T>System.Object</T></TN><DCT>${inside}</DCT></Obj>`
  );
};

const numbers = new Set(['By', 'SB', 'U16', 'I16', 'U32', 'I32', 'U64', 'I64', 'Sg', 'Db', 'D']);
const lists = new Set(['LST', 'STK', 'QUE', 'IE']);

const properties = (element: Element, known: Map<string, unknown>): Record<string, unknown> =>
  Object.fromEntries(
    childrenOf(element).map((child) => [decodeText(child.getAttribute('N') ?? ''), read(child, known)]),
  );

const entries = (element: Element, known: Map<string, unknown>): Record<string, unknown> =>
  Object.fromEntries(
    childrenOf(element).map((entry) => {
      const { Key, Value } = properties(entry, known);
      return [String(Key), Value];
    }),
  );

const readObject = (element: Element, known: Map<string, unknown>): unknown => {
  const parts = childrenOf(element);
  const part = (...names: string[]) => parts.find(({ localName }) => names.includes(localName ?? ''));
  const list = part(...lists);
  if (list) return childrenOf(list).map((child) => read(child, known));
  const table = part('DCT');
  if (table) return entries(table, known);
  const bags = parts.filter(({ localName }) => localName === 'MS' || localName === 'Props');
  const text = part('ToString')?.textContent ?? null;
  const value = parts.find(
    ({ localName }) => !['TN', 'TNRef', 'ToString', 'MS', 'Props'].includes(localName ?? ''),
  );
  // An enumeration is a number with a name, and it is the name that says something.
  if (value) return text === null ? read(value, known) : decodeText(text);
  if (bags.length === 0) return text === null ? {} : decodeText(text);
  return Object.assign({}, ...bags.map((bag) => properties(bag, known)));
};

/** A value as plain JSON: objects by their properties, lists as arrays, enumerations by name. */
export const read = (element: Element, known: Map<string, unknown> = new Map()): unknown => {
  const { localName } = element;
  const text = element.textContent ?? '';
  if (localName === 'Nil') return null;
  if (localName === 'B') return text.trim() === 'true';
  if (localName !== null && numbers.has(localName)) return Number(text);
  if (localName === 'Ref') return known.get(element.getAttribute('RefId') ?? '') ?? null;
  if (localName !== 'Obj') return decodeText(text);
  const value = readObject(element, known);
  known.set(element.getAttribute('RefId') ?? '', value);
  return value;
};
