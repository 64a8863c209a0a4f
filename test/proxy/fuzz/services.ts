/**
 * Autodiscover and EWS requests that are almost what the proxy answers or forwards. Listed in families.ts.
 * Source: MS-ASCMD 2.2.1.1 (Autodiscover), MS-OXWSPSNTIF 3.1.4 (Subscribe), SOAP 1.1 section 4.
 */
import fc from 'fast-check';
import { type Hostile, render, requestOf, withLength } from './request.ts';

type Family = fc.Arbitrary<Hostile>;

/** The host that Exchange may call for the fuzzed proxy. */
export const pushHost = 'push.example.org';

const oneOf = <T>(...values: T[]) => fc.constantFrom(...values);
const noise = (max: number) =>
  fc.uint8Array({ maxLength: max }).map((bytes) => Buffer.from(bytes).toString('latin1'));

interface Given {
  readonly target: string;
  readonly body: string;
  readonly contentType?: string;
  readonly headers?: readonly string[];
}

const sent = (
  family: string,
  { target, body, contentType = 'text/xml; charset=utf-8', headers = [] }: Given,
): Hostile => {
  const parts = withLength(requestOf('content', { target, body, headers }));
  const typed = parts.headers.map((line) =>
    line.startsWith('Content-Type') ? `Content-Type: ${contentType}` : line,
  );
  return { family, bytes: render({ ...parts, headers: typed }), outcome: 'goes-on' };
};

const messages = 'http://schemas.microsoft.com/exchange/services/2006/messages';
const types = 'http://schemas.microsoft.com/exchange/services/2006/types';
const soap = 'http://schemas.xmlsoap.org/soap/envelope/';
const push = (url: string, name = 'PushSubscriptionRequest'): string =>
  `<m:Subscribe xmlns:m="${messages}" xmlns:t="${types}"><m:${name}><t:URL>${url}</t:URL></m:${name}></m:Subscribe>`;
const subscribe = push(`https://${pushHost}/notify`);
const envelope = (calls: string, header = ''): string =>
  `<?xml version="1.0" encoding="utf-8"?><s:Envelope xmlns:s="${soap}">${header}<s:Body>${calls}</s:Body></s:Envelope>`;
const called = (operation: string): string => envelope(`<m:${operation} xmlns:m="${messages}"/>`);
const acting = `<s:Header><t:ExchangeImpersonation xmlns:t="${types}"/></s:Header>`;

const ewsTarget = oneOf('/EWS/Exchange.asmx', '/ews/exchange.asmx', '/EWS/exchange.ASMX');

/** Mail, other people's, other servers, and texts that two readers understand differently. */
const badCall: Family = fc
  .tuple(
    ewsTarget,
    oneOf(
      ...['GetItem', 'FindItem', 'CreateItem', 'SendItem', 'SyncFolderItems', 'GetEvents'].map(called),
      ...['subscribe', 'Subscribe2', 'GetStreamingEvents', 'GetAttachment', 'UpdateInboxRules'].map(called),
      envelope(subscribe, acting),
      envelope(`${subscribe}${subscribe}`),
      envelope(`<m:GetItem xmlns:m="${messages}"/>${subscribe}`),
      envelope(`<!--${subscribe}-->`),
      envelope(`<![CDATA[${subscribe}]]>`),
      envelope(push(`https://${pushHost}/`, 'PullSubscriptionRequest')),
      envelope(push(`https://${pushHost}/`, 'StreamingSubscriptionRequest')),
      envelope(push('http://169.254.169.254/latest')),
      envelope(push(`https://${pushHost}.evil.example/`)),
      envelope(push(`https://${pushHost}@evil.example/`)),
      envelope(push(`https://evil.example\\@${pushHost}/`)),
      envelope(push(`https://${pushHost}&#x2e;evil.example/`)),
      envelope(push('file:///etc/passwd')),
      envelope(subscribe).replace('?>', '?><!DOCTYPE s [<!ENTITY x "y">]>'),
      envelope(subscribe).replace(soap, 'http://www.w3.org/2003/05/soap-envelope'),
      envelope(subscribe).replace(soap, 'urn:other'),
      envelope(subscribe).replaceAll('s:Body', 's:Header'),
      envelope(subscribe).replace('utf-8', 'utf-16'),
      `${envelope(subscribe)}${envelope(subscribe)}`,
      `${'<a>'.repeat(3_000)}${'</a>'.repeat(3_000)}`,
      '',
    ),
  )
  .map(([target, body]) => sent('EWS that is no subscription', { target, body }));

const badCallHeaders: Family = fc
  .tuple(
    ewsTarget,
    oneOf<Omit<Given, 'target' | 'body'>>(
      { contentType: 'application/soap+xml; charset=utf-8' },
      { contentType: 'text/xml; charset=utf-16' },
      { contentType: 'application/json' },
      { contentType: 'text/plain' },
      { headers: ['Content-Encoding: gzip'] },
      { headers: ['Content-Encoding: br, identity'] },
    ),
  )
  .map(([target, given]) => sent('EWS under another name', { target, body: envelope(subscribe), ...given }));

const requestSchema = 'http://schemas.microsoft.com/exchange/autodiscover/mobilesync/requestschema/2006';
const responseSchema = 'http://schemas.microsoft.com/exchange/autodiscover/mobilesync/responseschema/2006';
const asking = (email: string): string =>
  `<Request><EMailAddress>${email}</EMailAddress><AcceptableResponseSchema>${responseSchema}</AcceptableResponseSchema></Request>`;
const discover = (requests: string): string =>
  `<?xml version="1.0" encoding="utf-8"?><Autodiscover xmlns="${requestSchema}">${requests}</Autodiscover>`;
const honestAsking = asking('alice@example.org');

const xmlTarget = oneOf('/autodiscover/autodiscover.xml', '/Autodiscover/Autodiscover.xml');

const badDiscovery: Family = fc
  .tuple(
    xmlTarget,
    oneOf(
      discover(''),
      discover(`${honestAsking}${honestAsking}`),
      discover(asking('')),
      discover(asking('nobody')),
      discover(asking('a@b&lt;script&gt;')),
      discover(asking('a@b&#10;c')),
      discover(asking(`${'a'.repeat(70)}@example.org`)),
      discover(honestAsking).replace(responseSchema, 'urn:other'),
      discover(honestAsking).replace('mobilesync/request', 'outlook/request'),
      discover(honestAsking).replace('?>', '?><!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>'),
      discover(asking('&x;@example.org')),
      `${discover(honestAsking)}<more/>`,
      `${'<a>'.repeat(3_000)}${'</a>'.repeat(3_000)}`,
      '',
    ),
  )
  .map(([target, body]) => sent('Autodiscover of something else', { target, body }));

/** Cut anywhere, or bytes that are no text at all. */
const badXml: Family = fc
  .tuple(
    fc.oneof(
      ewsTarget.map((target) => ({ target, whole: envelope(subscribe) })),
      xmlTarget.map((target) => ({ target, whole: discover(honestAsking) })),
    ),
    fc.nat({ max: 5_000 }),
    noise(200),
  )
  .map(([{ target, whole }, at, rest]) =>
    sent('XML that is none', { target, body: `${whole.slice(0, at % (whole.length - 1))}\x00${rest}` }),
  );

const badQuery: Family = fc
  .tuple(
    oneOf('/autodiscover/autodiscover.json', '/autodiscover/autodiscover.json/v1.0/alice@example.org'),
    oneOf('', '?', '?Protocol=', '?Protocol=EWS', '?Protocol=AutodiscoverV1', '?Protocol=ActiveSync%00'),
    oneOf('', '&Protocol=ActiveSync&Protocol=ActiveSync'),
  )
  .map(([path, query, more]) =>
    render({
      ...requestOf('content', { target: `${path}${query}${query === '' ? '' : more}`, body: '' }),
    }).replace('POST', 'GET'),
  )
  .map((bytes) => ({ family: 'Autodiscover by another query', bytes, outcome: 'goes-on' }));

/** Every family of this file. */
export const services: readonly Family[] = [badCall, badCallHeaders, badDiscovery, badXml, badQuery];
