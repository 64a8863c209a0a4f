/**
 * Whether the body of an ActiveSync request is the command that its query names. Called by gate.ts with the first bytes
 * of every body; pure. `Cmd` alone proves nothing: servers have been seen to run the command of the body instead.
 * Sources: MS-ASHTTP 2.2.1.1.2.1 (content types), MS-ASCMD 2.2.1 (commands and their bodies).
 */
import type { EasCommand } from './eas-encoded.ts';
import { rootCommand } from './wbxml.ts';

/** What the first bytes of a body are. `empty` is a body of no bytes, which repeats the last Ping or Sync. */
export type EasBody =
  | { readonly kind: 'empty' }
  | { readonly kind: 'wbxml'; readonly command: EasCommand }
  /** A bare message, as versions up to 12.1 send mail. */
  | { readonly kind: 'message' }
  | { readonly kind: 'unknown'; readonly problem: string };

export const emptyBody: EasBody = { kind: 'empty' };

const unknown = (problem: string): EasBody => ({ kind: 'unknown', problem });

const mediaType = (value: string | undefined): string =>
  (value ?? '').split(';', 1)[0]?.trim().toLowerCase() ?? '';

/** Reads the first bytes (peekBytes of wbxml.ts, fewer only when the body ends) under the headers given. */
export const readEasBody = (
  head: Buffer,
  headers: { readonly contentType: string | undefined; readonly contentEncoding: string | undefined },
): EasBody => {
  if (head.length === 0) return emptyBody;
  const encoding = (headers.contentEncoding ?? '').trim().toLowerCase();
  if (encoding !== '' && encoding !== 'identity') return unknown('a compressed body cannot be checked');
  const command = rootCommand(head);
  if (command !== null) return { kind: 'wbxml', command };
  // A server that looks at the bytes instead of the type must not find WBXML behind the type of a message.
  if (mediaType(headers.contentType) === 'message/rfc822' && head[0] !== 0x03) return { kind: 'message' };
  return unknown('the body is not a known ActiveSync command');
};

const sendsMessages: ReadonlySet<EasCommand> = new Set(['SendMail', 'SmartForward', 'SmartReply']);

/** Why this body does not belong to `command`, null when it does. */
export const bodyProblem = (command: EasCommand, body: EasBody): string | null => {
  switch (body.kind) {
    case 'empty':
      return null;
    case 'wbxml':
      return body.command === command ? null : `the body is ${body.command}, but Cmd says ${command}`;
    case 'message':
      return sendsMessages.has(command) ? null : `the body is a message, but Cmd says ${command}`;
    default:
      return body.problem;
  }
};
