/**
 * XML of somebody else's server: parsed by a library, without DTDs or entities of its own, and within bounds. Called
 * by clixml.ts and wsman.ts.
 */
import { DOMParser, type Element, type Node } from '@xmldom/xmldom';
import { MusterError } from '../../../platform/errors.ts';

const mostDepth = 64;
const mostOpenings = 500_000;

const tooDeep = (text: string): boolean => {
  let depth = 0;
  let openings = 0;
  for (const [tag] of text.matchAll(/<\/?[a-zA-Z_][^<>]*>/g)) {
    if (tag.startsWith('</')) depth -= 1;
    else if (!tag.endsWith('/>')) depth += 1;
    openings += 1;
    if (depth > mostDepth || openings > mostOpenings) return true;
  }
  return false;
};

/** The root of a document; `exchange-unavailable` when it is none, or is built to harm. */
export const parseXml = (text: string): Element => {
  const fault = (why: string, cause?: unknown) =>
    new MusterError('exchange-unavailable', `the answer is not understood: ${why}`, { cause });
  if (/<!(DOCTYPE|ENTITY)/i.test(text)) throw fault('it has a DTD');
  if (tooDeep(text)) throw fault('it is nested too deeply');
  try {
    const stop = (_level: string, message: string) => {
      throw new Error(message);
    };
    const root = new DOMParser({ onError: stop }).parseFromString(text, 'text/xml').documentElement;
    if (root) return root;
  } catch (cause) {
    throw fault('it is not XML', cause);
  }
  throw fault('it is empty');
};

const isElement = (node: Node): node is Element => node.nodeType === 1;

/** The elements right below one. */
export const childrenOf = (element: Element): Element[] => [...element.childNodes].filter(isElement);

/** The first element of that local name below another, however deep. */
export const find = (element: Element, localName: string): Element | undefined =>
  [...element.getElementsByTagNameNS('*', localName)][0];

export const findAll = (element: Element, localName: string): Element[] => [
  ...element.getElementsByTagNameNS('*', localName),
];

const marks: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&apos;',
};

/** Text as it stands in an element or an attribute. */
export const escapeXml = (text: string): string => text.replace(/[&<>"']/g, (mark) => marks[mark] as string);
