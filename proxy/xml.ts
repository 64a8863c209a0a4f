/**
 * Reads small XML documents of strangers: Autodiscover and EWS requests. No DTD, no entities but the five of XML, no
 * processing instructions, UTF-8 only, limited in depth and size; what two parsers could read differently is refused.
 * Called by autodiscover.ts and ews.ts; pure.
 */
import { SaxesParser } from 'saxes';

/** An element; `text` is its own character data. Attributes but namespaces are not kept: nothing here depends on one. */
export interface XmlElement {
  readonly namespace: string;
  readonly name: string;
  readonly text: string;
  readonly children: readonly XmlElement[];
}

interface Open {
  namespace: string;
  name: string;
  text: string;
  children: Open[];
}

/** Bodies beyond this are not read. */
export const maxXmlBytes = 64 * 1024;
const maxDepth = 32;
const maxElements = 2_000;

const utf8 = new TextDecoder('utf-8', { fatal: true });

/** The root element, or what is wrong with the document. Never throws. */
export const readXml = (bytes: Buffer): XmlElement | string => {
  if (bytes.length > maxXmlBytes) return 'the document is too large';
  try {
    return parse(utf8.decode(bytes));
  } catch (error) {
    return error instanceof Refused ? error.message : 'the document is not well-formed XML in UTF-8';
  }
};

class Refused extends Error {}

const parse = (text: string): XmlElement => {
  const parser = new SaxesParser({ xmlns: true, position: false });
  const open: Open[] = [];
  let root: Open | undefined;
  let count = 0;
  const refuse = (problem: string) => () => {
    throw new Refused(problem);
  };
  parser.on('error', (error) => {
    throw error;
  });
  parser.on('doctype', refuse('a document type is not accepted'));
  parser.on('processinginstruction', refuse('a processing instruction is not accepted'));
  parser.on('xmldecl', ({ encoding, version }) => {
    if (encoding !== undefined && encoding.toLowerCase() !== 'utf-8') refuse('only UTF-8 is accepted')();
    if (version !== undefined && version !== '1.0') refuse('only XML 1.0 is accepted')();
  });
  parser.on('opentag', ({ uri, local }) => {
    count += 1;
    if (open.length >= maxDepth || count > maxElements) refuse('the document is too deep or too long')();
    const element: Open = { namespace: uri, name: local, text: '', children: [] };
    open.at(-1)?.children.push(element);
    root ??= element;
    open.push(element);
  });
  parser.on('closetag', () => void open.pop());
  const take = (part: string) => {
    const element = open.at(-1);
    if (element !== undefined) element.text += part;
  };
  parser.on('text', take);
  parser.on('cdata', take);
  parser.write(text).close();
  if (root === undefined) throw new Refused('the document is empty');
  return root;
};

/** Children with this local name, in any of the namespaces that are given. */
export const childrenOf = (
  element: XmlElement | undefined,
  name: string,
  namespaces: readonly string[],
): readonly XmlElement[] =>
  (element?.children ?? []).filter((child) => child.name === name && namespaces.includes(child.namespace));

const escapes: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&apos;',
};

/** Text as it may stand in an element or an attribute. */
export const xmlText = (text: string): string => text.replace(/[&<>"']/g, (char) => escapes[char] ?? '');
