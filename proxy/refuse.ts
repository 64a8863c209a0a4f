/**
 * Answers that the proxy gives itself: refusals in the form that the instance asks for, and Autodiscover. Called by gate.ts.
 */
import type { EasRequest, Unreadable } from './eas.ts';
import { answer, type Exchange } from './http/exchange.ts';
import type { Decision } from './question.ts';
import { statusBody } from './wbxml.ts';

/** Not about the device: it must come back, which 503 asks for and 403 would put off (MS-ASHTTP 2.2.2.1.1). */
const temporary = new Set(['stopping', 'internal', 'unready']);

/** About a device, a user or an app, as against a request that is wrong in itself: an instance may tell these by WBXML. */
const blocks = new Set(['client', 'device', 'user', 'verdict', 'validate', 'stale']);
/** DeviceIsBlockedForThisUser. */
const deviceIsBlocked = 129;

/** A request to be answered; `eas` is null when it is none of ActiveSync. */
export interface Refused {
  readonly exchange: Exchange;
  readonly eas: EasRequest | Unreadable | null;
  /** Value of MS-ASProtocolVersion. */
  readonly protocolVersion: string | undefined;
  readonly blockAnswer: 'http-403' | 'wbxml-129';
}

/** What makes a device provision: the status RemoteWipeRequested (MS-ASCMD 2.2.2), and the HTTP status of before 14.0. */
const wipeRequested = 140;
const provisionFirst = 449;

/** Status, and the body of a status in WBXML where there is one. */
const formOf = (
  refused: Refused,
  rule: string,
): { readonly status: number; readonly wbxml: Buffer | null } => {
  if (temporary.has(rule)) return { status: 503, wbxml: null };
  if (rule === 'wipe') {
    const wbxml = statusAnswer(refused, wipeRequested);
    return { status: wbxml === null ? provisionFirst : 200, wbxml };
  }
  const isToldByStatus = blocks.has(rule) && refused.blockAnswer === 'wbxml-129';
  const wbxml = isToldByStatus ? statusAnswer(refused, deviceIsBlocked) : null;
  return { status: wbxml === null ? 403 : 200, wbxml };
};

/**
 * The refusal: 403, which ActiveSync clients of every version show as "no access" (MS-ASHTTP 2.2.2.1.1), or status 129
 * (DeviceIsBlockedForThisUser, MS-ASCMD 2.2.2) where the client understands it; a device that is to be wiped is told to provision. Never 401, which makes them ask for the
 * password again until the account is locked.
 */
export const refuse = (refused: Refused, { rule, reason }: Decision): void => {
  const { exchange } = refused;
  if (exchange.status !== null || exchange.isOver) return void exchange.socket.destroy();
  const { status, wbxml } = formOf(refused, rule);
  const body = wbxml ?? Buffer.from(`Muster does not let this request through: ${reason}.\n`);
  // The body that was announced will not come, or the proxy goes: this connection cannot carry another request.
  if (exchange.expectsContinue || rule === 'stopping') exchange.connection.closesAfter = true;
  const type = wbxml === null ? 'text/plain; charset=utf-8' : 'application/vnd.ms-sync.wbxml';
  const retry = status === 503 ? 'retry-after: 10\r\n' : '';
  const fields = `${retry}content-type: ${type}\r\ncache-control: no-store\r\nx-muster-reason: ${rule}\r\n`;
  answer(exchange, status, fields, body);
};

/** A status in the body that the command's answer has; null for whoever would not understand it. */
const statusAnswer = ({ exchange, eas, protocolVersion }: Refused, status: number): Buffer | null => {
  if (exchange.method !== 'POST' || eas === null) return null;
  if ('unreadable' in eas || eas.command === null) return null;
  const version = eas.version === null ? Number(protocolVersion ?? 0) : eas.version / 10;
  // Before 14.0 there are no statuses common to all commands.
  return version >= 14 ? statusBody(eas.command, status) : null;
};
