/**
 * Reads the head of one HTTP/1 message. Called by connection.ts with what clients send and by upstream.ts with what the
 * mail server answers; pure.
 *
 * One reading or none: whatever receivers are known to read in several ways (bare line feeds, folded lines, a space before
 * the colon, control characters) is refused instead of mended, so that nothing depends on how the next server reads it.
 * Source: RFC 9112 2.2, 3, 4 and 5; RFC 9110 5.5 and 5.6.2.
 */

/** Field lines in their order, two entries each: the name in lower case and the value. */
export type Fields = readonly string[];

/** The same with a third entry: the name as sent. */
export type SentFields = readonly string[];

export type Version = '1.0' | '1.1';

export interface RequestHead {
  readonly method: string;
  readonly target: string;
  readonly version: Version;
  readonly fields: Fields;
}

export interface ResponseHead {
  readonly status: number;
  readonly version: Version;
  readonly fields: SentFields;
}

/** Why bytes are no head. */
export interface NoHead {
  readonly problem: string;
}

const CR = 13;
const LF = 10;
const SP = 32;
const TAB = 9;
const COLON = 58;

/** What a byte may be part of. */
const isName = 1;
const isValue = 2;
const isTarget = 4;

const classes = new Uint8Array(256);
for (let byte = 0; byte < 256; byte += 1) {
  const char = String.fromCharCode(byte);
  if (/[!#$%&'*+\-.^_`|~0-9A-Za-z]/.test(char)) classes[byte] = isName;
  if (byte === TAB || (byte >= SP && byte !== 127)) classes[byte] = (classes[byte] as number) | isValue;
  if (byte > SP && byte < 127) classes[byte] = (classes[byte] as number) | isTarget;
}

/** Where bytes stop to be of a class. */
const skip = (bytes: Uint8Array, from: number, end: number, wanted: number): number => {
  let at = from;
  while (at < end && ((classes[bytes[at] as number] as number) & wanted) !== 0) at += 1;
  return at;
};

const headEnd = Buffer.from('\r\n\r\n');

/** Where the head that starts at `from` ends, its empty line included; -1 while it is not complete. */
export const endOfHead = (bytes: Buffer, from: number): number => {
  const at = bytes.indexOf(headEnd, from);
  return at < 0 ? -1 : at + headEnd.length;
};

/** Whether what has come so far of a head can still become one; bytes before `from` were looked at already. */
export const canBecomeHead = (bytes: Uint8Array, from: number): boolean => {
  for (let at = from; at < bytes.length; at += 1) {
    const byte = bytes[at] as number;
    if (((classes[byte] as number) & isValue) !== 0) continue;
    if (byte === LF && at > 0 && bytes[at - 1] === CR) continue;
    if (byte === CR && (at + 1 === bytes.length || bytes[at + 1] === LF)) continue;
    return false;
  }
  return true;
};

/** Names that are met most, told by their bytes: a string of each would only be made to be looked up. */
const commonNames = [
  ...['accept', 'accept-encoding', 'accept-language', 'authorization', 'cache-control', 'client-request-id'],
  ...['connection', 'content-encoding', 'content-length', 'content-type', 'cookie', 'date', 'etag', 'expect'],
  ...['expires', 'host', 'keep-alive', 'location', 'ms-asacceptmultipart', 'ms-asprotocolcommands'],
  ...[
    'ms-asprotocolversion',
    'ms-asprotocolversions',
    'ms-server-activesync',
    'pragma',
    'public',
    'request-id',
  ],
  ...['return-client-request-id', 'server', 'set-cookie', 'transfer-encoding', 'user-agent', 'vary'],
  ...[
    'www-authenticate',
    'x-aspnet-version',
    'x-beserver',
    'x-calculatedbetarget',
    'x-diaginfo',
    'x-feserver',
  ],
  ...['x-forwarded-for', 'x-ms-backoffduration', 'x-ms-location', 'x-ms-policykey', 'x-powered-by'],
];

/** Makes a letter small; of the bytes of names no other becomes a letter, a digit or a hyphen by it. */
const small = 0x20;
const slotOf = (first: number, last: number, length: number): number =>
  ((first | small) * 7 + (last | small) * 3 + length) & 255;

const commonBySlot = Array.from({ length: 256 }, (): string[] => []);
for (const name of commonNames)
  commonBySlot[slotOf(name.charCodeAt(0), name.charCodeAt(name.length - 1), name.length)]?.push(name);

/** The name between `from` and `to` in lower case if it is a common one. */
const commonName = (bytes: Uint8Array, from: number, to: number): string | null => {
  const length = to - from;
  const slot = slotOf(bytes[from] as number, bytes[to - 1] as number, length);
  for (const name of commonBySlot[slot] as string[]) {
    if (name.length !== length) continue;
    let at = 0;
    while (at < length && ((bytes[from + at] as number) | small) === name.charCodeAt(at)) at += 1;
    if (at === length) return name;
  }
  return null;
};

/**
 * Reads the field lines from `at` to the empty line. `text` is `bytes` from `start` on in ISO-8859-1, character by byte.
 * Answers the problem, or null when `fields` has them all, with the name as sent if `isSent`.
 */
const readFields = (
  bytes: Buffer,
  text: string,
  start: number,
  first: number,
  fields: string[],
  isSent: boolean,
): string | null => {
  const end = start + text.length;
  let at = first;
  for (;;) {
    // The empty line: two bytes that endOfHead has found.
    if (bytes[at] === CR && at + 2 === end) return null;
    const nameEnd = skip(bytes, at, end, isName);
    if (nameEnd === at || bytes[nameEnd] !== COLON) return 'a field name is malformed';
    const lineEnd = skip(bytes, nameEnd + 1, end, isValue);
    if (bytes[lineEnd] !== CR || bytes[lineEnd + 1] !== LF) return 'a field value has a control character';
    let from = nameEnd + 1;
    let to = lineEnd;
    while (from < to && (bytes[from] === SP || bytes[from] === TAB)) from += 1;
    while (to > from && (bytes[to - 1] === SP || bytes[to - 1] === TAB)) to -= 1;
    const common = commonName(bytes, at, nameEnd);
    const value = text.slice(from - start, to - start);
    if (common !== null && !isSent) fields.push(common, value);
    else {
      const name = text.slice(at - start, nameEnd - start);
      fields.push(common ?? name.toLowerCase(), value);
      if (isSent) fields.push(name);
    }
    at = lineEnd + 2;
  }
};

const noHead = (problem: string): NoHead => ({ problem });

/** Reads a request's head, which lies between `from` and `end` (see endOfHead). Never throws. */
export const readRequestHead = (bytes: Buffer, from: number, end: number): RequestHead | NoHead => {
  const methodEnd = skip(bytes, from, end, isName);
  if (methodEnd === from || bytes[methodEnd] !== SP) return noHead('there is no method');
  const targetEnd = skip(bytes, methodEnd + 1, end, isTarget);
  if (targetEnd === methodEnd + 1 || bytes[targetEnd] !== SP) return noHead('the target is malformed');
  const text = bytes.toString('latin1', from, end);
  const version = versionAt(text, targetEnd + 1 - from);
  if (version === null || bytes[targetEnd + 9] !== CR || bytes[targetEnd + 10] !== LF)
    return noHead('the HTTP version is not served');
  const fields: string[] = [];
  const problem = readFields(bytes, text, from, targetEnd + 11, fields, false);
  return problem === null
    ? {
        method: text.slice(0, methodEnd - from),
        target: text.slice(methodEnd + 1 - from, targetEnd - from),
        version,
        fields,
      }
    : noHead(problem);
};

const versionAt = (text: string, at: number): Version | null => {
  if (text.startsWith('HTTP/1.1', at)) return '1.1';
  return text.startsWith('HTTP/1.0', at) ? '1.0' : null;
};

/** Reads an answer's head, likewise; its reason phrase, which nobody needs, is dropped. */
export const readResponseHead = (bytes: Buffer, from: number, end: number): ResponseHead | NoHead => {
  const text = bytes.toString('latin1', from, end);
  const version = versionAt(text, 0);
  const status = Number(text.slice(9, 12));
  const afterStatus = bytes[from + 12];
  if (version === null || text.charCodeAt(8) !== SP || !(status >= 100 && status <= 999))
    return noHead('the status line is malformed');
  if (afterStatus !== SP && afterStatus !== CR) return noHead('the status line is malformed');
  const lineEnd = skip(bytes, from + 12, end, isValue);
  if (bytes[lineEnd] !== CR || bytes[lineEnd + 1] !== LF) return noHead('the status line is malformed');
  const fields: string[] = [];
  const problem = readFields(bytes, text, from, lineEnd + 2, fields, true);
  return problem === null ? { status, version, fields } : noHead(problem);
};
