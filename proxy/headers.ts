/**
 * Which headers cross the proxy, in both directions. Requests are rebuilt from a list of what ActiveSync clients send,
 * so that nothing unforeseen reaches the back end; answers lose what concerns only the back end's own connection.
 * Called by gate.ts (reading) and forward.ts (rebuilding); pure.
 * Sources: RFC 9110 7.6.1 (hop-by-hop), RFC 9112 6.1-6.3 (framing), MS-ASHTTP 2.2.1.1.2 (request headers).
 */
import { easPath } from './eas.ts';

/** Request headers by lower-case name, each exactly once, or why the message cannot be trusted. */
export type ReadHeaders = { readonly values: ReadonlyMap<string, string>; readonly malformed: string | null };

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

/** Reads Node's raw header list (name, value, name, value …). */
export const readHeaders = (raw: readonly string[], httpVersion: string): ReadHeaders => {
  const values = new Map<string, string>();
  if (raw.length / 2 > maxHeaders) return { values, malformed: 'there are too many headers' };
  let malformed: string | null = null;
  for (let at = 0; at < raw.length; at += 2) {
    const name = (raw[at] as string).toLowerCase();
    const value = raw[at + 1] as string;
    const earlier = values.get(name);
    const separator = name === 'cookie' ? '; ' : ', ';
    if (earlier !== undefined && name !== 'cookie' && !lists.has(name) && isSensitive(name))
      malformed = `${name} is given twice`;
    values.set(name, earlier === undefined ? value : `${earlier}${separator}${value}`);
  }
  return { values, malformed: malformed ?? checkFraming(values, httpVersion) };
};

/** A doubled header matters when it is forwarded or frames the message; others are dropped anyway. */
const isSensitive = (name: string): boolean =>
  forwarded.has(name) ||
  name === 'host' ||
  name === 'content-length' ||
  name === 'transfer-encoding' ||
  name === 'expect';

/** One length, said in one way: everything else is how requests are smuggled. */
const checkFraming = (values: ReadonlyMap<string, string>, httpVersion: string): string | null => {
  if (httpVersion !== '1.1' && httpVersion !== '1.0') return 'the HTTP version is not served';
  const length = values.get('content-length');
  const encoding = values.get('transfer-encoding');
  if (length !== undefined && encoding !== undefined)
    return 'content-length and transfer-encoding are both given';
  if (length !== undefined && !/^\d{1,15}$/.test(length)) return 'content-length is not a number';
  if (encoding === undefined) return null;
  if (httpVersion === '1.0') return 'HTTP/1.0 has no transfer-encoding';
  return encoding.toLowerCase() === 'chunked' ? null : 'transfer-encoding is not chunked';
};

/** True when a body follows the headers. */
export const hasBody = (values: ReadonlyMap<string, string>): boolean =>
  values.has('transfer-encoding') || Number(values.get('content-length') ?? '0') > 0;

/** What a Traveler client may send besides, for its own web protocol. */
const forwardedToTraveler = new Set(['if-modified-since', 'if-none-match', 'range', 'x-requested-with']);

/** How the request is rebuilt: `contentType` replaces the client's. */
export interface Rebuilding {
  readonly protocol: 'eas' | 'ews' | 'traveler';
  readonly isEncodedQuery: boolean;
  readonly contentType?: string | undefined;
}

/** Headers of the rebuilt request; undici adds Host. */
export const requestHeaders = (
  values: ReadonlyMap<string, string>,
  { protocol, isEncodedQuery, contentType }: Rebuilding,
  from: { address: string; proto: string; host: string },
): Record<string, string> => {
  const named = connectionNames(values.get('connection'));
  const headers: Record<string, string> = Object.create(null);
  for (const [name, value] of values) {
    const isForwarded = forwarded.has(name) || (protocol === 'traveler' && forwardedToTraveler.has(name));
    if (!isForwarded || named.has(name)) continue;
    if (isEncodedQuery && inEncodedQuery.has(name)) continue;
    headers[name] = value;
  }
  if (contentType !== undefined) headers['content-type'] = contentType;
  const length = values.get('content-length');
  if (length !== undefined) headers['content-length'] = String(Number(length));
  headers['x-forwarded-for'] = from.address;
  headers['x-forwarded-proto'] = from.proto;
  headers['x-forwarded-host'] = from.host;
  return headers;
};

const noNames: ReadonlySet<string> = new Set();

const connectionNames = (value: string | undefined): ReadonlySet<string> =>
  value === undefined || value === ''
    ? noNames
    : new Set(
        value
          .toLowerCase()
          .split(',')
          .map((name) => name.trim()),
      );

const hopByHop = new Set([
  'connection',
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
]);

/** Names of machines behind an Exchange front end: nobody outside needs them. */
const internal = new Set([
  'x-beserver',
  'x-calculatedbetarget',
  'x-calculatedfetarget',
  'x-diaginfo',
  'x-feserver',
  'x-targetbeserver',
]);

/** Headers of the answer, as a flat list for writeHead. */
export const responseHeaders = (
  status: number,
  headers: Readonly<Record<string, string | string[] | undefined>>,
  publicUrl: URL,
): string[] => {
  const { connection } = headers;
  const named = connectionNames(Array.isArray(connection) ? connection.join(',') : connection);
  const answer: string[] = [];
  const keep = (name: string, lower: string, value: string): void => {
    const kept = rewrite(lower, value, status, publicUrl);
    if (kept !== null) answer.push(name, kept);
  };
  for (const name of Object.keys(headers)) {
    const value = headers[name];
    const lower = name.toLowerCase();
    if (value === undefined || hopByHop.has(lower) || internal.has(lower) || named.has(lower)) continue;
    if (typeof value === 'string') keep(name, lower, value);
    else for (const one of value) keep(name, lower, one);
  }
  return answer;
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
