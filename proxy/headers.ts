/**
 * Which headers cross the proxy, in both directions. Requests are rebuilt from a list of what ActiveSync clients send,
 * so that nothing unforeseen reaches the back end; answers lose what concerns only the back end's own connection.
 * Called by http/connection.ts (reading), gate.ts and forward.ts (rebuilding); pure.
 * Sources: RFC 9110 7.6.1 (hop-by-hop), RFC 9112 6.1-6.3 (framing), MS-ASHTTP 2.2.1.1.2 (request headers).
 */
import { easPath } from './eas.ts';
import { type Framing, noBody } from './http/body.ts';
import { dateLine } from './http/date.ts';
import type { Fields, SentFields, Version } from './http/head.ts';

/** Request headers by lower-case name, each exactly once, or why the message cannot be trusted. */
export interface ReadHeaders {
  readonly values: ReadonlyMap<string, string>;
  /** Why nobody may go by these headers, or null. */
  readonly malformed: string | null;
  /** Where the body ends, or why nobody can say (RFC 9112 6.3). */
  readonly framing: Framing | { readonly problem: string };
}

/** Headers that a client may send through. Host, framing and forwarding headers are always made here. */
const forwarded = new Set([
  'accept',
  'accept-charset',
  'accept-encoding',
  'accept-language',
  'authorization',
  'cache-control',
  'client-request-id',
  'content-encoding',
  'content-language',
  'content-type',
  'cookie',
  'date',
  'ms-asacceptmultipart',
  'ms-asprotocolversion',
  'pragma',
  'return-client-request-id',
  'user-agent',
  'x-ms-policykey',
  'x-ms-rps',
]);

/** In the encoded form these stand in the query; servers disagree which of two counts, so the headers go. */
const inEncodedQuery = new Set(['ms-asprotocolversion', 'x-ms-policykey']);

/** Lists that RFC 9110 5.3 allows to be split over several lines; any other header must be given once. */
const lists = new Set([
  'accept',
  'accept-charset',
  'accept-encoding',
  'accept-language',
  'cache-control',
  'connection',
  'via',
]);

/** No client comes near this; size alone (listener.ts) would allow thousands. */
const maxHeaders = 100;

/** Reads the field lines of a request. */
export const readHeaders = (fields: Fields, version: Version): ReadHeaders => {
  const values = new Map<string, string>();
  if (fields.length / 2 > maxHeaders)
    return { values, malformed: 'there are too many headers', framing: noBody };
  let malformed: string | null = null;
  for (let at = 0; at < fields.length; at += 2) {
    const name = fields[at] as string;
    const value = fields[at + 1] as string;
    const earlier = values.get(name);
    if (earlier === undefined) {
      values.set(name, value);
      continue;
    }
    if (name !== 'cookie' && !lists.has(name) && isSensitive(name)) malformed = `${name} is given twice`;
    values.set(name, `${earlier}${name === 'cookie' ? '; ' : ', '}${value}`);
  }
  return { values, malformed, framing: framingOf(values, version) };
};

/** A doubled header matters when it is forwarded or means something here; others are dropped anyway. */
const isSensitive = (name: string): boolean => forwarded.has(name) || name === 'expect';

/** One length, said in one way: everything else is how requests are smuggled. */
const framingOf = (values: ReadonlyMap<string, string>, version: Version): ReadHeaders['framing'] => {
  const length = values.get('content-length');
  const encoding = values.get('transfer-encoding');
  if (encoding !== undefined) {
    if (length !== undefined) return { problem: 'content-length and transfer-encoding are both given' };
    if (version === '1.0') return { problem: 'HTTP/1.0 has no transfer-encoding' };
    return encoding.toLowerCase() === 'chunked'
      ? { kind: 'chunked' }
      : { problem: 'transfer-encoding is not chunked' };
  }
  if (length === undefined) return noBody;
  return /^\d{1,15}$/.test(length)
    ? { kind: 'length', sizeBytes: Number(length) }
    : { problem: 'content-length is not one number' };
};

/** True when a body follows the headers. */
export const hasBody = ({ framing }: ReadHeaders): boolean =>
  'kind' in framing && (framing.kind === 'chunked' || (framing.kind === 'length' && framing.sizeBytes > 0));

/** What a Traveler client may send besides, for its own web protocol. */
const forwardedToTraveler = new Set(['if-modified-since', 'if-none-match', 'range', 'x-requested-with']);

/** How the request is rebuilt: `contentType` replaces the client's. */
export interface Rebuilding {
  readonly protocol: 'eas' | 'ews' | 'traveler';
  readonly isEncodedQuery: boolean;
  readonly contentType?: string | undefined;
}

/** Field lines of the rebuilt request, each with its line end; http/upstream.ts adds Host and framing. */
export const requestHeaders = (
  values: ReadonlyMap<string, string>,
  { protocol, isEncodedQuery, contentType }: Rebuilding,
  from: { address: string; proto: string; host: string },
): string => {
  const named = connectionNames(values.get('connection'));
  let lines = `x-forwarded-for: ${from.address}\r\nx-forwarded-proto: ${from.proto}\r\nx-forwarded-host: ${from.host}\r\n`;
  if (contentType !== undefined) lines += `content-type: ${contentType}\r\n`;
  for (const [name, value] of values) {
    const isForwarded = forwarded.has(name) || (protocol === 'traveler' && forwardedToTraveler.has(name));
    if (!isForwarded || named.has(name)) continue;
    if (isEncodedQuery && inEncodedQuery.has(name)) continue;
    if (contentType !== undefined && name === 'content-type') continue;
    lines += `${name}: ${value}\r\n`;
  }
  return lines;
};

const noNames: ReadonlySet<string> = new Set();
/** What nearly every Connection header says; no header is called that. */
const namesNothing = /^(?:keep-alive|close)$/i;

const connectionNames = (value: string | undefined): ReadonlySet<string> =>
  value === undefined || value === '' || namesNothing.test(value)
    ? noNames
    : new Set(
        value
          .toLowerCase()
          .split(',')
          .map((name) => name.trim()),
      );

/** Of the back end's own connection, its framing, and what nobody outside needs. */
const isOfConnection = new Set([
  'connection',
  'content-length',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authentication-info',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  // Would invite the client to reach the back end by another way than this proxy.
  'alt-svc',
  // Names of machines behind an Exchange front end.
  'x-beserver',
  'x-calculatedbetarget',
  'x-calculatedfetarget',
  'x-diaginfo',
  'x-feserver',
  'x-targetbeserver',
]);

/** Field lines of the answer, each with its line end; http/exchange.ts adds framing. */
export const responseHeaders = (status: number, fields: SentFields, publicUrl: URL): string => {
  const named = namedInAnswer(fields);
  let lines = '';
  let hasDate = false;
  for (let at = 0; at < fields.length; at += 3) {
    const lower = fields[at] as string;
    if (isOfConnection.has(lower) || named.has(lower)) continue;
    if (lower === 'date') hasDate = true;
    const kept = rewrite(lower, fields[at + 1] as string, status, publicUrl);
    if (kept !== null) lines += `${fields[at + 2]}: ${kept}\r\n`;
  }
  return hasDate ? lines : `${dateLine()}${lines}`;
};

const namedInAnswer = (fields: SentFields): ReadonlySet<string> => {
  let names: ReadonlySet<string> = noNames;
  for (let at = 0; at < fields.length; at += 3) {
    if (fields[at] !== 'connection') continue;
    const more = connectionNames(fields[at + 1]);
    if (more.size > 0) names = new Set([...names, ...more]);
  }
  return names;
};

const rewrite = (name: string, value: string, status: number, publicUrl: URL): string | null => {
  if (name === 'www-authenticate') return offeredChallenges(value);
  // 451 moves a device to another server for good (MS-ASHTTP 3.1.5.2.2): it must stay behind this proxy.
  if (name === 'x-ms-location') return new URL(easPath, publicUrl).href;
  if (name === 'location' && status >= 300 && status < 400) return ownLocation(value, publicUrl);
  return value;
};

/** A redirect keeps its path, but at this proxy's address. */
const ownLocation = (value: string, publicUrl: URL): string | null => {
  if (!URL.canParse(value, publicUrl.href)) return null;
  const target = new URL(value, publicUrl);
  return new URL(`${target.pathname}${target.search}`, publicUrl).href;
};

/**
 * The Basic and Bearer challenges of a WWW-Authenticate value, null when there is none. NTLM and Negotiate bind the
 * connection to a user and would leak one client's login to the next on a shared connection.
 */
export const offeredChallenges = (value: string): string | null => {
  const challenges: string[] = [];
  for (const part of value.match(/(?:[^,"]|"(?:[^"\\]|\\.)*")+/g) ?? []) {
    const text = part.trim();
    const last = challenges.length - 1;
    // A challenge starts with its scheme; `name=value` alone continues the one before (RFC 9110 11.6.1).
    if (/^[^\s=]+(?:\s+[^\s=].*)?$/s.test(text) || last < 0) challenges.push(text);
    else challenges[last] += `, ${text}`;
  }
  const kept = challenges.filter((challenge) => /^(?:basic|bearer)(?:\s|$)/i.test(challenge));
  return kept.length === 0 ? null : kept.join(', ');
};
