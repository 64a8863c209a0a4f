/**
 * Autodiscover, answered by the proxy itself with the instance's own address: the mail server's would lead devices past
 * it. Called by gate.ts; pure.
 *
 * Nothing is asked of the mail server and no password is needed: the answer is the same for every address and holds only
 * what the client used to get here, so it tells nobody which users exist.
 * Sources: MS-ASCMD 2.2.1.1 (Autodiscover command, mobilesync schemas), MS-OXWAUTODISCOVER v2 (JSON form).
 */
import { easPath } from './eas.ts';
import { childrenOf, readXml, xmlText } from './xml.ts';

/** An answer that the proxy makes itself. */
export interface OwnAnswer {
  readonly contentType: string;
  readonly body: string;
}

const requestSchema = 'http://schemas.microsoft.com/exchange/autodiscover/mobilesync/requestschema/2006';
const responseSchema = 'http://schemas.microsoft.com/exchange/autodiscover/mobilesync/responseschema/2006';
const envelopeSchema = 'http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006';

/** Which form a target asks for; null when it is not Autodiscover. The path is compared without case. */
export const autodiscoverForm = (path: string): 'xml' | 'json' | null => {
  const lower = path.toLowerCase();
  if (lower === '/autodiscover/autodiscover.xml') return 'xml';
  return lower === '/autodiscover/autodiscover.json' ||
    lower.startsWith('/autodiscover/autodiscover.json/v1.0/')
    ? 'json'
    : null;
};

const serverUrl = (publicUrl: URL): string => new URL(easPath, publicUrl).href;

/** Only enough of an address that echoing it cannot surprise the client. */
const isAddress = (text: string): boolean =>
  /^[^\s@<>"]{1,64}@[^\s@<>"]{1,255}$/.test(text) && !/\p{Cc}/u.test(text);

/** The answer to an XML request, or why there is none. */
export const answerXml = (body: Buffer, publicUrl: URL): OwnAnswer | string => {
  const root = readXml(body);
  if (typeof root === 'string') return root;
  if (root.name !== 'Autodiscover' || root.namespace !== requestSchema)
    return 'only the mobilesync request of ActiveSync is answered';
  const requests = childrenOf(root, 'Request', [requestSchema]);
  const [address, ...others] = childrenOf(requests[0], 'EMailAddress', [requestSchema]);
  const [schema] = childrenOf(requests[0], 'AcceptableResponseSchema', [requestSchema]);
  const email = address?.text.trim() ?? '';
  if (requests.length !== 1 || others.length > 0 || !isAddress(email))
    return 'the request names no mail address';
  if (schema?.text.trim() !== responseSchema) return 'the client does not accept the mobilesync answer';
  return { contentType: 'text/xml; charset=utf-8', body: xmlAnswer(email, serverUrl(publicUrl)) };
};

const xmlAnswer = (email: string, url: string): string =>
  `<?xml version="1.0" encoding="utf-8"?>\n<Autodiscover xmlns="${envelopeSchema}"><Response xmlns="${responseSchema}">` +
  `<Culture>en:us</Culture><User><DisplayName>${xmlText(email)}</DisplayName><EMailAddress>${xmlText(email)}</EMailAddress></User>` +
  `<Action><Settings><Server><Type>MobileSync</Type><Url>${xmlText(url)}</Url><Name>${xmlText(url)}</Name></Server></Settings></Action>` +
  '</Response></Autodiscover>\n';

/** The answer to a JSON request with this query, or why there is none. */
export const answerJson = (query: string, publicUrl: URL): OwnAnswer | string => {
  const parameters = new URLSearchParams(query);
  const protocols = [...parameters].filter(([name]) => name.toLowerCase() === 'protocol');
  const [protocol] = protocols;
  if (protocol === undefined || protocols.length > 1) return 'the request names no protocol';
  if (protocol[1].toLowerCase() !== 'activesync') return 'only the address of ActiveSync is told';
  const answer = { Protocol: 'ActiveSync', Url: serverUrl(publicUrl) };
  return { contentType: 'application/json; charset=utf-8', body: `${JSON.stringify(answer)}\n` };
};
