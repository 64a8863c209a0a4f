/**
 * Reads what an ActiveSync request line says: command, user and device id, from both query forms, with one
 * interpretation or none. Called by gate.ts before anything is decided; pure.
 *
 * Servers disagree on odd queries (which of two DeviceIds counts, what follows a second '?', whether names may be
 * encoded), so whatever two servers could read differently is unreadable here, and what is forwarded is rebuilt from
 * what was read. Sources: MS-ASHTTP 2.2.1.1.1 (request line), 2.2.1.1.1.1 (base64 and plain query values).
 */
import { type EasCommand, easCommand, readEncodedQuery } from './eas-encoded.ts';

/** The one path that is served; compared without case, as IIS does, and forwarded in this spelling. */
export const easPath = '/Microsoft-Server-ActiveSync';

/** One request line, understood. Ids are canonical: see canonicalEasId. */
export interface EasRequest {
  /** `none` is an OPTIONS without a query. */
  readonly form: 'plain' | 'base64' | 'none';
  /** Protocol version times ten, of the encoded form; the plain form says it in a header. */
  readonly version: number | null;
  readonly command: EasCommand | null;
  readonly deviceId: string | null;
  /** Other spellings under which the same id may be known, canonical too; never another device's own choice. */
  readonly aliases: readonly string[];
  readonly deviceType: string | null;
  /** The user that the query names: for the log only, servers go by the credential. */
  readonly queryUser: string | null;
  /** The query to forward, without '?'. */
  readonly query: string;
}

/** Why a request line is not served: `path` is not ActiveSync at all, `query` is not readable in exactly one way. */
export interface Unreadable {
  readonly unreadable: 'path' | 'query';
  readonly problem: string;
}

/** The canonical spelling of an EAS device id: ids are compared without case (both sides, feed and request). */
export const canonicalEasId = (id: string): string => id.trim().toUpperCase();

/** Parameters that are forwarded, as spelt here and in lower case; any other well-formed name is dropped. MS-ASHTTP 2.2.1.1.1.2. */
const parameterNames = new Map(
  [
    'Cmd',
    'User',
    'DeviceId',
    'DeviceType',
    'AttachmentName',
    'CollectionId',
    'ItemId',
    'LongId',
    'Occurrence',
    'SaveInSent',
  ].flatMap((name) => [[name, name] as const, [name.toLowerCase(), name] as const]),
);

const unreadable = (problem: string): Unreadable => ({ unreadable: 'query', problem });

/** Printable ASCII without '?' and '#'. */
const plainQuery = /^[!"$->@-~]*$/;

/** No request of a real client comes near this; it bounds every later step. */
const maxTargetChars = 8_192;

/** Understands the request target of `method`, or says what is wrong with it. Never throws. */
export const readTarget = (method: string, target: string): EasRequest | Unreadable => {
  const mark = target.indexOf('?');
  const path = mark < 0 ? target : target.slice(0, mark);
  if (path !== easPath && path.toLowerCase() !== easPath.toLowerCase())
    return { unreadable: 'path', problem: 'not the ActiveSync path' };
  const query = mark < 0 ? '' : target.slice(mark + 1);
  if (target.length > maxTargetChars) return unreadable('the query is too long');
  if (!plainQuery.test(query))
    return unreadable(
      /[?#]/.test(query)
        ? "the query has a second '?' or a '#'"
        : 'the query has bytes outside printable ASCII',
    );
  return query === '' ? readNone(method) : readQuery(method, query);
};

const readNone = (method: string): EasRequest | Unreadable =>
  method === 'OPTIONS'
    ? {
        form: 'none',
        version: null,
        command: null,
        deviceId: null,
        aliases: [],
        deviceType: null,
        queryUser: null,
        query: '',
      }
    : unreadable('there is no query');

/** A query made of base64 characters only is the encoded form: no plain query that is valid looks like that. */
const readQuery = (method: string, query: string): EasRequest | Unreadable => {
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(query)) return readPlainQuery(method, query);
  const encoded = readEncodedQuery(query);
  if (typeof encoded === 'string') return unreadable(encoded);
  const { deviceId, ...rest } = encoded;
  return { form: 'base64', ...rest, ...keysOf(deviceId) };
};

/**
 * Canonical id and aliases of the id bytes of the encoded form. Sixteen bytes that are not all alphanumeric are the
 * binary form of a 32-digit hexadecimal id. Some servers write every id of this form in hexadecimal, so one learnt
 * from them may be stored as that.
 */
const keysOf = (bytes: Buffer): { deviceId: string; aliases: string[] } => {
  const hex = bytes.toString('hex').toUpperCase();
  const text = bytes.toString('latin1');
  if (!isEasId(text)) return { deviceId: hex, aliases: [] };
  const binary = bytes.length === 16 && !/^[A-Za-z0-9]+$/.test(text);
  return binary
    ? { deviceId: hex, aliases: [canonicalEasId(text)] }
    : { deviceId: canonicalEasId(text), aliases: [hex] };
};

/** Ids are unreserved characters only, so that no server decodes, strips or re-encodes them differently. */
const isEasId = (text: string): boolean => /^[A-Za-z0-9._~-]{1,64}$/.test(text);

const readPlainQuery = (method: string, query: string): EasRequest | Unreadable => {
  const values = new Map<string, string>();
  for (const part of query.split('&')) {
    const equals = part.indexOf('=');
    const name = part.slice(0, Math.max(equals, 0));
    const known = parameterNames.get(name) ?? parameterNames.get(name.toLowerCase());
    if (known === undefined) {
      if (!/^[A-Za-z]+$/.test(name)) return unreadable('a parameter name is empty, encoded or malformed');
      continue;
    }
    if (values.has(known)) return unreadable(`${known} is given twice`);
    const value = part.slice(equals + 1);
    if (!isPlainValue(value)) return unreadable(`${known} is badly encoded`);
    values.set(known, value);
  }
  return method === 'OPTIONS' ? readPlainOptions(values) : readPlainPost(values);
};

/** True when decoding changes nothing that matters: whole triplets, and no control byte, '&', '?' or '#' hidden in one. */
const isPlainValue = (value: string): boolean => !value.includes('%') || isPlainlyEncoded(value);

const isPlainlyEncoded = (value: string): boolean =>
  !/%(?![0-9A-Fa-f]{2})/.test(value) && !/%(?:[01][0-9A-Fa-f]|7[Ff]|26|3[Ff]|23)/.test(value);

const readPlainOptions = (values: Map<string, string>): EasRequest | Unreadable => {
  // OPTIONS runs no command, whatever the query says; do not let the back end think otherwise.
  values.delete('Cmd');
  const id = values.get('DeviceId');
  if (id !== undefined && !isEasId(id)) return unreadable('DeviceId is not a device id');
  return plainRequest(null, id ?? null, values);
};

const readPlainPost = (values: Map<string, string>): EasRequest | Unreadable => {
  const command = easCommand(values.get('Cmd') ?? '');
  if (command === undefined) return unreadable('Cmd is missing or not an ActiveSync command');
  const id = values.get('DeviceId');
  if (id === undefined || !isEasId(id)) return unreadable('DeviceId is missing or not a device id');
  values.set('Cmd', command);
  return plainRequest(command, id, values);
};

const plainRequest = (
  command: EasCommand | null,
  id: string | null,
  values: Map<string, string>,
): EasRequest => ({
  form: 'plain',
  version: null,
  command,
  deviceId: id === null ? null : canonicalEasId(id),
  aliases: [],
  deviceType: values.get('DeviceType') ?? null,
  queryUser: values.has('User') ? decodeText(values.get('User') as string) : null,
  query: queryOf(values),
});

const queryOf = (values: ReadonlyMap<string, string>): string => {
  let query = '';
  for (const [name, value] of values) query += `${query === '' ? '' : '&'}${name}=${value}`;
  return query;
};

/** Percent-decoding for the log; what is not UTF-8 stays as sent. */
const decodeText = (value: string): string => {
  if (!value.includes('%')) return value;
  try {
    return decodeURIComponent(value);
  } catch {
    return value;
  }
};
