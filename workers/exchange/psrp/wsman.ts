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
} as const;

const mostEnvelopeBytes = 153_600;
/** How long the server holds a Receive before it says that there is nothing yet. */
const operationSeconds = 60;

interface Asking {
  readonly action: string;
  readonly url: string;
  readonly body: string;
  readonly shellId?: string | undefined;
  readonly options?: string | undefined;
}

/** One request. */
export const envelopeOf = ({ action, url, body, shellId, options = '' }: Asking): string =>
  `<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" xmlns:a="${addressing}" xmlns:w="${wsman}" ` +
  `xmlns:p="http://schemas.microsoft.com/wbem/wsman/1/wsman.xsd" xmlns:rsp="${shell}"><s:Header>` +
  `<a:To>${escapeXml(url)}</a:To>` +
  `<a:ReplyTo><a:Address s:mustUnderstand="true">${addressing}/role/anonymous</a:Address></a:ReplyTo>` +
  `<a:Action s:mustUnderstand="true">${action}</a:Action><a:MessageID>uuid:${newUuid()}</a:MessageID>` +
  `<w:MaxEnvelopeSize s:mustUnderstand="true">${mostEnvelopeBytes}</w:MaxEnvelopeSize>` +
  `<w:ResourceURI s:mustUnderstand="true">${resourceUri}</w:ResourceURI>` +
  (shellId === undefined
    ? ''
    : `<w:SelectorSet><w:Selector Name="ShellId">${escapeXml(shellId)}</w:Selector></w:SelectorSet>`) +
  `${options}<w:OperationTimeout>PT${operationSeconds}.000S</w:OperationTimeout></s:Header>` +
  `<s:Body>${body}</s:Body></s:Envelope>`;

const optionSet = (name: string, value: string): string =>
  `<w:OptionSet s:mustUnderstand="true"><w:Option Name="${name}" MustComply="true">${value}</w:Option></w:OptionSet>`;

export const createShell = (url: string, fragments: Buffer): string =>
  envelopeOf({
    action: actions.create,
    url,
    options: optionSet('protocolversion', '2.2'),
    body:
      '<rsp:Shell><rsp:InputStreams>stdin pr</rsp:InputStreams><rsp:OutputStreams>stdout</rsp:OutputStreams>' +
      `<creationXml xmlns="http://schemas.microsoft.com/powershell">${fragments.toString('base64')}</creationXml></rsp:Shell>`,
  });

export const startCommand = (url: string, shellId: string, commandId: string, fragments: Buffer): string =>
  envelopeOf({
    action: actions.command,
    url,
    shellId,
    body:
      `<rsp:CommandLine CommandId="${commandId.toUpperCase()}"><rsp:Command></rsp:Command>` +
      `<rsp:Arguments>${fragments.toString('base64')}</rsp:Arguments></rsp:CommandLine>`,
  });

export const receive = (url: string, shellId: string, commandId?: string): string =>
  envelopeOf({
    action: actions.receive,
    url,
    shellId,
    options: optionSet('WSMAN_CMDSHELL_OPTION_KEEPALIVE', 'TRUE'),
    body: `<rsp:Receive><rsp:DesiredStream${
      commandId === undefined ? '' : ` CommandId="${commandId.toUpperCase()}"`
    }>stdout</rsp:DesiredStream></rsp:Receive>`,
  });

export const deleteShell = (url: string, shellId: string): string =>
  envelopeOf({ action: actions.delete, url, shellId, body: '' });

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
  authorization: string,
  envelope: string,
): Promise<Element | 'timed-out'> =>
  readAnswer(
    await server.post(
      path,
      { authorization, 'content-type': 'application/soap+xml;charset=UTF-8' },
      envelope,
    ),
  );
