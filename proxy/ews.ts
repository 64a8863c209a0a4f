/**
 * Reads an Exchange Web Services request far enough to prove that it only subscribes to push notifications or ends such a
 * subscription: those are what a push service needs, and everything else in EWS is access to mail. Called by gate.ts; pure.
 *
 * The action is what stands in the SOAP body; SOAPAction is ignored and not forwarded. Headers that act for somebody else
 * (ExchangeImpersonation, SerializedSecurityContext) or carry another credential (WS-Security) are refused with all that
 * is not on the list. Sources: MS-OXWSPSNTIF 3.1.4 (Subscribe, Unsubscribe), SOAP 1.1 section 4, SOAP 1.2 part 1 section 5.
 */
import { childrenOf, readXml, type XmlElement } from './xml.ts';

/** The one path of EWS; compared without case, forwarded in this spelling. */
export const ewsPath = '/EWS/Exchange.asmx';

/** A proven operation and the content type under which it is forwarded, or why it is not. */
export type EwsCall =
  | { readonly operation: 'Subscribe' | 'Unsubscribe'; readonly contentType: string }
  | { readonly operation: null; readonly problem: string };

const soap: Readonly<Record<string, { readonly contentType: string; readonly accepts: string }>> = {
  'http://schemas.xmlsoap.org/soap/envelope/': {
    contentType: 'text/xml; charset=utf-8',
    accepts: 'text/xml',
  },
  'http://www.w3.org/2003/05/soap-envelope': {
    contentType: 'application/soap+xml; charset=utf-8',
    accepts: 'application/soap+xml',
  },
};
const messages = 'http://schemas.microsoft.com/exchange/services/2006/messages';
const types = 'http://schemas.microsoft.com/exchange/services/2006/types';
const harmlessHeaders = new Set([
  'RequestServerVersion',
  'TimeZoneContext',
  'MailboxCulture',
  'DateTimePrecision',
]);

const none = (problem: string): EwsCall => ({ operation: null, problem });

export interface EwsHeaders {
  readonly contentType: string | undefined;
  readonly contentEncoding: string | undefined;
}

/** Reads a whole request body. `pushHosts` are the hosts (`name` or `name:port`) that Exchange may be told to call. */
export const readEws = (body: Buffer, headers: EwsHeaders, pushHosts: readonly string[]): EwsCall => {
  if ((headers.contentEncoding ?? 'identity').toLowerCase() !== 'identity')
    return none('a compressed body cannot be checked');
  const [mediaType = '', ...parameters] = (headers.contentType ?? '').toLowerCase().split(';');
  const charset = parameters
    .map((text) => /^\s*charset\s*=\s*"?([^"]*?)"?\s*$/.exec(text)?.[1])
    .find(Boolean);
  if (charset !== undefined && charset !== 'utf-8') return none('only UTF-8 is accepted');
  const root = readXml(body);
  if (typeof root === 'string') return none(root);
  const envelope = soap[root.namespace];
  if (root.name !== 'Envelope' || envelope === undefined) return none('the body is not a SOAP envelope');
  if (mediaType.trim() !== envelope.accepts) return none('the content type does not fit the SOAP version');
  return readEnvelope(root, envelope.contentType, pushHosts);
};

const readEnvelope = (root: XmlElement, contentType: string, pushHosts: readonly string[]): EwsCall => {
  const [first, second, ...others] = root.children;
  const isPart = (element: XmlElement | undefined, name: string) =>
    element?.name === name && element.namespace === root.namespace;
  const header = isPart(first, 'Header') ? first : undefined;
  const body = header === undefined ? first : second;
  const rest = header === undefined ? [second, ...others].filter(Boolean) : others;
  if (body === undefined || !isPart(body, 'Body') || rest.length > 0)
    return none('there is not exactly one SOAP body');
  const foreign = header?.children.find(
    ({ name, namespace }) => namespace !== types || !harmlessHeaders.has(name),
  );
  if (foreign !== undefined) return none('a SOAP header is not accepted');
  const [call, ...more] = body.children;
  if (call === undefined || more.length > 0) return none('the SOAP body has not exactly one child');
  if (call.namespace !== messages) return none('only subscriptions are served');
  if (call.name === 'Unsubscribe') return { operation: 'Unsubscribe', contentType };
  if (call.name !== 'Subscribe') return none('only subscriptions are served');
  const problem = subscribeProblem(call, pushHosts);
  return problem === null ? { operation: 'Subscribe', contentType } : none(problem);
};

const subscribeProblem = (call: XmlElement, pushHosts: readonly string[]): string | null => {
  const [request, ...more] = call.children;
  // Pull and streaming subscriptions would need GetEvents and GetStreamingEvents, which tell what happens in a mailbox.
  if (request?.name !== 'PushSubscriptionRequest' || request.namespace !== messages || more.length > 0)
    return 'only push subscriptions are served';
  const [url, ...others] = childrenOf(request, 'URL', [types]);
  if (url === undefined || others.length > 0) return 'the subscription has not exactly one URL';
  return isPushUrl(url.text.trim(), pushHosts) ? null : 'the push URL is not one that Exchange may call';
};

/** Exchange calls this URL from inside: only hosts on the list, and nothing that two parsers read differently. */
const isPushUrl = (text: string, pushHosts: readonly string[]): boolean => {
  if (!/^https?:\/\/[A-Za-z0-9.-]+(?::\d{1,5})?(?:\/[\x21-\x7e]*)?$/i.test(text) || /[\\@]/.test(text))
    return false;
  if (!URL.canParse(text)) return false;
  const { host } = new URL(text);
  return pushHosts.some((allowed) => allowed.toLowerCase() === host);
};
