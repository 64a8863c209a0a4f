/**
 * Which certificates a revocation list names, so that connections that were made before it are judged by it too; OpenSSL
 * judges, and checks its signature and dates, only at handshakes. Called by client-certificates.ts; `muster proxy check`
 * asks for the dates.
 * Sources: RFC 5280 sections 4.1 and 5.1, X.690 (DER).
 */
import { X509Certificate } from 'node:crypto';

/** One DER element: its tag, its content, and all of it. */
interface Element {
  readonly tag: number;
  readonly content: Buffer;
  readonly whole: Buffer;
}

const sequence = 0x30;
const integer = 0x02;
const utcTime = 0x17;
const generalizedTime = 0x18;

/** The elements that `bytes` consist of, one after the other. Throws a RangeError when they do not add up. */
const elementsOf = function* (bytes: Buffer): Generator<Element> {
  let at = 0;
  while (at < bytes.length) {
    const tag = bytes.readUInt8(at);
    const first = bytes.readUInt8(at + 1);
    const isShort = first < 0x80;
    const size = isShort ? first : bytes.readUIntBE(at + 2, first & 0x7f);
    const start = at + 2 + (isShort ? 0 : first & 0x7f);
    const end = start + size;
    if (end > bytes.length) throw new RangeError('an element is longer than what holds it');
    yield { tag, content: bytes.subarray(start, end), whole: bytes.subarray(at, end) };
    at = end;
  }
};

const only = (bytes: Buffer): Element => {
  const [first] = elementsOf(bytes);
  if (first === undefined) throw new RangeError('an element is missing');
  return first;
};

const nameOf = (issuer: Element): string => issuer.whole.toString('base64');
const keyOf = (issuer: string, serial: Element): string => `${issuer} ${serial.content.toString('hex')}`;

/** Issuer and serial number, by which revocation lists name a certificate. */
export const revocationKey = (certificate: X509Certificate): string => {
  const [...fields] = elementsOf(only(only(certificate.raw).content).content);
  // The version ([0]) is there in all but version 1.
  const [serial, , issuer] = fields[0]?.tag === 0xa0 ? fields.slice(1) : fields;
  if (serial === undefined || issuer === undefined) throw new RangeError('a field is missing');
  return keyOf(nameOf(issuer), serial);
};

/** What a list says after its version, which the oldest form lacks, and the algorithm of its signature. */
const fieldsOf = (list: Buffer) => {
  const [...fields] = elementsOf(only(only(list).content).content);
  const [, issuer, thisUpdate, ...rest] = fields[0]?.tag === integer ? fields.slice(1) : fields;
  if (issuer === undefined) throw new RangeError('the issuer is missing');
  // nextUpdate (a time), the revoked ones (a sequence), extensions ([0]); each may be missing.
  return { issuer, thisUpdate, rest };
};

const revokedIn = (list: Buffer): string[] => {
  const { issuer, rest } = fieldsOf(list);
  const revoked = rest.find(({ tag }) => tag === sequence);
  if (revoked === undefined) return [];
  // Once for all: a list may name a hundred thousand.
  const name = nameOf(issuer);
  return Array.from(elementsOf(revoked.content), ({ content }) => keyOf(name, only(content)));
};

const isTime = ({ tag }: Element): boolean => tag === utcTime || tag === generalizedTime;

/** Milliseconds since the epoch. The two forms that certificates may use have seconds and are UTC. */
const timeOf = ({ tag, content }: Element): number => {
  const text = content.toString('latin1');
  // RFC 5280 4.1.2.5.1: two digits stand for 1950 to 2049.
  const century = tag === generalizedTime ? '' : text < '50' ? '20' : '19';
  const found = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/.exec(century + text);
  const [year, month, day, hour, minute, second] = found?.slice(1) ?? [];
  const at = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
  if (Number.isNaN(at)) throw new RangeError('a time cannot be read');
  return at;
};

/** When a list was made and when the next one is due, both in ms since the epoch. */
export interface ListDates {
  readonly thisUpdate: number;
  /** Null: the list does not say, and counts for ever. */
  readonly nextUpdate: number | null;
}

const datesIn = (list: Buffer): ListDates => {
  const { thisUpdate, rest } = fieldsOf(list);
  if (thisUpdate === undefined) throw new RangeError('thisUpdate is missing');
  const [next] = rest;
  return {
    thisUpdate: timeOf(thisUpdate),
    nextUpdate: next !== undefined && isTime(next) ? timeOf(next) : null,
  };
};

/** What `read` makes of each list of a PEM file; undefined when there is none in it or one cannot be read. */
const readLists = <Read>(pem: string, read: (list: Buffer) => Read): Read[] | undefined => {
  const blocks = pem.match(/-----BEGIN X509 CRL-----[\s\S]+?-----END X509 CRL-----/g);
  try {
    return blocks?.map((block) => read(Buffer.from(block.replace(/-----[^-]+-----/g, ''), 'base64')));
  } catch {
    return undefined;
  }
};

/** The keys of all certificates that the lists of a PEM file revoke; undefined when there is no readable list in it. */
export const readRevoked = (pem: string): ReadonlySet<string> | undefined => {
  const lists = readLists(pem, revokedIn);
  return lists === undefined ? undefined : new Set(lists.flat());
};

/** The dates of the lists of a PEM file, in their order; undefined when there is no list in it or a date cannot be read. */
export const readListDates = (pem: string): readonly ListDates[] | undefined => readLists(pem, datesIn);

/** The certificates of a PEM file; undefined when there is none in it or one cannot be read. */
export const readCertificates = (pem: string): readonly X509Certificate[] | undefined => {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g);
  try {
    return blocks?.map((block) => new X509Certificate(block));
  } catch {
    return undefined;
  }
};
