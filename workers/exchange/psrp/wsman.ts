/**
 * Envelopes of WS-Management for a remote shell (MS-WSMV 3.1.4; DMTF DSP0226), over HTTPS with Basic. Called by
 * session.ts beside this file.
 */
import type { Element } from '@xmldom/xmldom';
import { MusterError } from '../../../platform/errors.ts';
import { newUuid } from '../../../platform/new-id.ts';
import { asLine } from '../cmdlets.ts';
import type { Answer, Dialled } from '../dial.ts';
import { escapeXml, find, findAll, parseXml } from './xml.ts';

const shell = 'http://schemas.microsoft.com/wbem/wsman/1/windows/shell';
const transfer = 'http://schemas.xmlsoap.org/ws/2004/09/transfer';
const wsman = 'http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd';
const addressing = 'http://schemas.xmlsoap.org/ws/2004/08/addressing';
export const resourceUri = 'http://schemas.microsoft.com/powershell/Microsoft.Exchange';

export const actions = {
  create: `${transfer}/Create`,
  delete: `${transfer}/Delete`,
  command: `${shell}/Command`,
  receive: `${shell}/Receive`,
  signal: `${shell}/Signal`,
} as const;
/** The code of a signal that ends a command and forgets it (MS-WSMV 2.2.4.38). */
export const terminate = `${shell}/signal/terminate`;

const mostEnvelopeBytes = 153_600;
const mostCookies = 20;
/** Of PowerShell 2, which every Exchange speaks. */
const protocolVersion = '2.2';
/** How long the server holds a Receive before it says that there is nothing yet. */
const operationSeconds = 60;

/** Where envelopes go, and the session that they belong to. */
export interface Endpoint {
  readonly url: string;
  readonly sessionId: string;
}

interface Asking {
  readonly action: string;
  readonly at: Endpoint;
  readonly body: string;
  readonly shellId?: string | undefined;
  readonly options?: string | undefined;
}

/** What the server says is to be in a language that is known: faults are told apart by their text as well. */
const locale = 'xml:lang="en-US" s:mustUnderstand="false"';

/** One request. */
const envelopeOf = ({ action, at, body, shellId, options = '' }: Asking): string =>
  `<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" xmlns:a="${addressing}" xmlns:w="${wsman}" ` +
  `xmlns:p="http://schemas.microsoft.com/wbem/wsman/1/wsman.xsd" xmlns:rsp="${shell}"><s:Header>` +
  `<a:To>${escapeXml(at.url)}</a:To>` +
  `<a:ReplyTo><a:Address s:mustUnderstand="true">${addressing}/role/anonymous</a:Address></a:ReplyTo>` +
  `<a:Action s:mustUnderstand="true">${action}</a:Action><a:MessageID>uuid:${newUuid().toUpperCase()}</a:MessageID>` +
  `<w:MaxEnvelopeSize s:mustUnderstand="true">${mostEnvelopeBytes}</w:MaxEnvelopeSize>` +
  `<w:ResourceURI s:mustUnderstand="true">${resourceUri}</w:ResourceURI>` +
  `<w:Locale ${locale}/><p:DataLocale ${locale}/>` +
  `<p:SessionId s:mustUnderstand="false">uuid:${at.sessionId.toUpperCase()}</p:SessionId>` +
  (shellId === undefined
    ? ''
    : `<w:SelectorSet><w:Selector Name="ShellId">${escapeXml(shellId)}</w:Selector></w:SelectorSet>`) +
  `${options}<w:OperationTimeout>PT${operationSeconds}.000S</w:OperationTimeout></s:Header>` +
  `<s:Body>${body}</s:Body></s:Envelope>`;

const optionSet = (name: string, value: string, attributes = ''): string =>
  `<w:OptionSet s:mustUnderstand="true"><w:Option Name="${name}"${attributes}>${value}</w:Option></w:OptionSet>`;

/** The shell is given the id of its pool, as PowerShell has it (MS-PSRP 3.1.5.3.1). */
export const createShell = (at: Endpoint, poolId: string, fragments: Buffer): string =>
  envelopeOf({
    action: actions.create,
    at,
    options: optionSet('protocolversion', protocolVersion, ' MustComply="true"'),
    body:
      `<rsp:Shell ShellId="${poolId.toUpperCase()}"><rsp:InputStreams>stdin pr</rsp:InputStreams>` +
      '<rsp:OutputStreams>stdout</rsp:OutputStreams>' +
      `<creationXml xmlns="http://schemas.microsoft.com/powershell">${fragments.toString('base64')}</creationXml></rsp:Shell>`,
  });

export const startCommand = (at: Endpoint, shellId: string, commandId: string, fragments: Buffer): string =>
  envelopeOf({
    action: actions.command,
    at,
    shellId,
    body:
      `<rsp:CommandLine CommandId="${commandId.toUpperCase()}"><rsp:Command></rsp:Command>` +
      `<rsp:Arguments>${fragments.toString('base64')}</rsp:Arguments></rsp:CommandLine>`,
  });

export const receive = (at: Endpoint, shellId: string, commandId?: string): string =>
  envelopeOf({
    action: actions.receive,
    at,
    shellId,
    options: optionSet('WSMAN_CMDSHELL_OPTION_KEEPALIVE', 'TRUE'),
    body: `<rsp:Receive><rsp:DesiredStream${
      commandId === undefined ? '' : ` CommandId="${commandId.toUpperCase()}"`
    }>stdout</rsp:DesiredStream></rsp:Receive>`,
  });

/** Ends a command, done or not: until then it counts as one that runs. */
export const endCommand = (at: Endpoint, shellId: string, commandId: string): string =>
  envelopeOf({
    action: actions.signal,
    at,
    shellId,
    body: `<rsp:Signal CommandId="${commandId.toUpperCase()}"><rsp:Code>${terminate}</rsp:Code></rsp:Signal>`,
  });

export const deleteShell = (at: Endpoint, shellId: string): string =>
  envelopeOf({ action: actions.delete, at, shellId, body: '' });

/**
 * Balancers in front of Exchange keep a session at one server by a cookie, and a client holds it for as long as the
 * session lasts, whatever it says of its life.
 */
export const openCookies = () => {
  const held = new Map<string, string>();
  return {
    header: (): Record<string, string> =>
      held.size === 0 ? {} : { cookie: [...held].map(([name, value]) => `${name}=${value}`).join('; ') },
    take: (lines: readonly string[]): void => {
      for (const line of lines) {
        const [, name, value] =
          /^([\w!#$%&'*+.^`|~-]{1,100})=([\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]{0,4096})(?:;|$)/.exec(
            line,
          ) ?? [];
        if (name === undefined) continue;
        if (!value) held.delete(name);
        else if (held.has(name) || held.size < mostCookies) held.set(name, value);
      }
    },
  };
};

/** WSMan error codes (MS-WSMV, winerror.h): nothing came within the operation time-out; a quota was met. */
const timedOut = '2150858793';
const quota = /quota|maximum number of concurrent|shells? for this user|exceeded the/i;

const faultOf = (fault: Element): MusterError | 'timed-out' => {
  const text = asLine(find(fault, 'Message')?.textContent ?? find(fault, 'Text')?.textContent ?? '');
  const codes = [
    find(fault, 'WSManFault')?.getAttribute('Code') ?? '',
    ...findAll(fault, 'Value').map((value) => value.textContent ?? ''),
  ];
  if (codes.some((code) => code === timedOut || code.endsWith(':TimedOut'))) return 'timed-out';
  if (codes.some((code) => code.endsWith(':QuotaLimit')) || quota.test(text))
    return new MusterError('exchange-throttled', text);
  return new MusterError('exchange-refused', text);
};

const readAnswer = ({ status, text, retryAfterMs }: Answer): Element | 'timed-out' => {
  if (status === 401)
    throw new MusterError(
      'exchange-refused',
      'the account is refused, or Basic is off at the virtual directory',
    );
  if (status === 403) throw new MusterError('exchange-refused', 'the account may not use remote PowerShell');
  if (status === 429 || (status === 503 && retryAfterMs !== undefined))
    throw new MusterError('exchange-throttled', `Exchange answers ${status}`, {
      ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    });
  if (status !== 200 && !text.trimStart().startsWith('<'))
    throw new MusterError(
      status >= 500 ? 'exchange-unavailable' : 'exchange-refused',
      `Exchange answers ${status}`,
    );
  const root = parseXml(text);
  const fault = find(root, 'Fault');
  if (!fault && status === 200) return root;
  if (!fault) throw new MusterError('exchange-unavailable', `Exchange answers ${status}`);
  const meaning = faultOf(fault);
  if (meaning !== 'timed-out') throw meaning;
  return meaning;
};

/** Sends an envelope: the answer's root, or `timed-out` when the server had nothing to say for a while. */
export const send = async (
  server: Dialled,
  path: string,
  headers: { readonly authorization: string; readonly cookies: ReturnType<typeof openCookies> },
  envelope: string,
): Promise<Element | 'timed-out'> => {
  const { authorization, cookies } = headers;
  const answer = await server.post(
    path,
    { authorization, 'content-type': 'application/soap+xml;charset=UTF-8', ...cookies.header() },
    envelope,
  );
  cookies.take(answer.setCookies);
  return readAnswer(answer);
};
