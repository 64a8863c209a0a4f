/**
 * The catalogue of faults (bugs, outages, bad input at an edge) and the one error class that carries them.
 * Called everywhere above the domain; refusals of the domain are values and live in domain/refusals.ts.
 */
import { type RefusalCode, refusals } from '../domain/refusals.ts';

/** Code → title, advice and whether repeating the same call later can succeed. */
export const faults = {
  'address-refused': {
    title: 'The portal may not be used from this address',
    advice: 'Come from an address that the administrator allows.',
    retryable: false,
  },
  'backup-damaged': {
    title: 'The backup is damaged or incomplete',
    advice: 'Nothing was changed. Use another copy of the file, or an older backup.',
    retryable: false,
  },
  'backup-mismatched': {
    title: 'The backup does not fit here',
    advice: 'Nothing was changed. Name a whole backup, then its increments in order, without a gap.',
    retryable: false,
  },
  'body-too-deep': { title: 'The JSON is nested too deeply', advice: 'Flatten the body.', retryable: false },
  'body-too-large': { title: 'The body is too large', advice: 'Send less at once.', retryable: false },
  'config-invalid': {
    title: 'The configuration is invalid',
    advice: 'Correct the named settings.',
    retryable: false,
  },
  'cross-site-request': {
    title: 'The request comes from another site',
    advice: 'With the cookie, send x-muster-request: 1 from the same origin; or send a bearer token.',
    retryable: false,
  },
  'data-dir-in-use': {
    title: 'The data folder is in use',
    advice: 'Stop the other process or choose another MUSTER_DATA_DIR.',
    retryable: false,
  },
  'dependency-unavailable': {
    title: 'A part Muster needs is unavailable',
    advice: 'Repeat the call after a short wait.',
    retryable: true,
  },
  'directory-refused': {
    title: 'The directory refused the request',
    advice: 'Check the address, the bind account, the base and the filter of the directory.',
    retryable: false,
  },
  'directory-unavailable': {
    title: 'The directory does not answer',
    advice: 'Repeat the call after a short wait; check the address and certificate of the directory.',
    retryable: true,
  },
  'document-not-own': {
    title: 'This session runs none but the documents of this server',
    advice: 'Send a documentId, or use a bearer token; see MUSTER_GRAPHQL_DOCUMENTS.',
    retryable: false,
  },
  'document-unknown': {
    title: 'The server has no such document',
    advice: 'Load the page again after an upgrade, or send the document itself.',
    retryable: false,
  },
  'event-unreadable': {
    title: 'A stored event cannot be read',
    advice: 'Upgrade Muster to the version that wrote the event, or inspect it with muster replay.',
    retryable: false,
  },
  forbidden: {
    title: 'This credential may not do that',
    advice: 'Use a credential with the required scope.',
    retryable: false,
  },
  'identity-provider-refused': {
    title: 'The identity provider cannot be used',
    advice: 'Correct its settings: testIdentityProvider says what is wrong.',
    retryable: false,
  },
  'identity-provider-unavailable': {
    title: 'The identity provider does not answer',
    advice: 'Repeat the call after a short wait; check address and certificate of the identity provider.',
    retryable: true,
  },
  internal: {
    title: 'Something went wrong in Muster',
    advice: 'Report the request id to the operator.',
    retryable: false,
  },
  'invalid-csv': {
    title: 'The file is no table of comma-separated values that Muster can read',
    advice: 'Send UTF-8 with a header line, separated by comma, semicolon or tab, within the limits.',
    retryable: false,
  },
  'invalid-input': { title: 'The input is invalid', advice: 'Correct the named field.', retryable: false },
  'invalid-json': { title: 'The body is not valid JSON', advice: 'Send UTF-8 JSON.', retryable: false },
  'log-behind-readers': {
    title: 'The event log is older than what was made from it',
    advice:
      'Stop every Muster here, then restore a newer backup, or the same one with muster eventstore restore --replace --reset-read-models.',
    retryable: false,
  },
  'log-damaged': {
    title: 'The event log is damaged',
    advice: 'Stop Muster, keep a copy of the data folder, and restore a backup made before the damage.',
    retryable: false,
  },
  'log-exists': {
    title: 'There is an event log here already',
    advice: 'Restore into another data folder or database, or replace the log with --replace.',
    retryable: false,
  },
  'method-not-allowed': {
    title: 'The method is not allowed here',
    advice: 'Use the method that the documentation names.',
    retryable: false,
  },
  'not-found': { title: 'There is nothing here', advice: 'Check the address.', retryable: false },
  'password-change-required': {
    title: 'The one-time password must be changed first',
    advice: 'Call changePassword, then repeat the call.',
    retryable: false,
  },
  'position-beyond-log': {
    title: 'The log does not reach that far',
    advice: 'The log was restored from a backup: forget what was read of it and start over from 0.',
    retryable: false,
  },
  'passkeys-off': {
    title: 'The server has no address that passkeys can belong to',
    advice: 'Set MUSTER_PUBLIC_URL to an https address with a host name.',
    retryable: false,
  },
  'push-rejected': {
    title: 'The push service rejected the message',
    advice: 'Check the push settings of the server.',
    retryable: false,
  },
  'push-token-dead': {
    title: 'The push token is no longer valid',
    advice: 'The device reports a new token at its next sync.',
    retryable: false,
  },
  'push-unavailable': {
    title: 'The push service is unavailable',
    advice: 'Muster repeats the push by itself.',
    retryable: true,
  },
  'query-too-complex': {
    title: 'The GraphQL query asks for too much at once',
    advice: 'Ask for fewer fields, aliases, levels or rows per page.',
    retryable: false,
  },
  'safeguard-reached': {
    title: 'Compliance policies have wiped or unenrolled as many devices as they may within an hour',
    advice: 'It is tried again every hour. Look whether the policy is right; setSafeguard raises the limit.',
    retryable: true,
  },
  'scavenge-running': {
    title: 'A scavenge is running already',
    advice: 'Let it end, then repeat the command.',
    retryable: true,
  },
  'second-factor-required': {
    title: 'The tenant asks for a second factor, and the account has none',
    advice: 'Set one up with beginTotp and confirmTotp, or beginPasskey and confirmPasskey, then repeat.',
    retryable: false,
  },
  'single-sign-on-failed': {
    title: 'The sign-in by the identity provider failed',
    advice: 'Begin again. If it stays like that, ask an administrator of the tenant.',
    retryable: false,
  },
  'stream-deleted': {
    title: 'What this was about was deleted',
    advice: 'There is nothing left to do.',
    retryable: false,
  },
  'too-busy': {
    title: 'The server is busy',
    advice: 'Repeat the call after the time given in Retry-After.',
    retryable: true,
  },
  'too-many-attempts': {
    title: 'There were too many failed attempts',
    advice: 'Repeat the call after the time given.',
    retryable: true,
  },
  unauthenticated: {
    title: 'The credential is missing or invalid',
    advice: 'Send a valid credential.',
    retryable: false,
  },
  'unsupported-encoding': {
    title: 'The content encoding is not supported',
    advice: 'Send identity or gzip.',
    retryable: false,
  },
  'unsupported-media-type': {
    title: 'The content type is not supported',
    advice: 'Send application/json.',
    retryable: false,
  },
} as const;

/** Code of a fault. */
export type FaultCode = keyof typeof faults;

/** Any code a user of Muster can meet. */
export type ErrorCode = FaultCode | RefusalCode;

/** Title and advice of any code. */
export const describeCode = (code: ErrorCode): { title: string; advice: string; retryable: boolean } =>
  code in faults ? faults[code as FaultCode] : { ...refusals[code as RefusalCode], retryable: false };

/** A fault on its way up: `code` from the catalogue, the input `field` it concerns, the `cause` for the log. */
export class MusterError extends Error {
  readonly code: FaultCode;
  readonly field: string | undefined;
  readonly retryable: boolean;
  /** When the other side asked to be left alone for a time. */
  readonly retryAfterMs: number | undefined;

  constructor(
    code: FaultCode,
    detail: string,
    options: { cause?: unknown; field?: string; retryAfterMs?: number | undefined } = {},
  ) {
    super(detail, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'MusterError';
    this.code = code;
    this.field = options.field;
    this.retryAfterMs = options.retryAfterMs;
    this.retryable = faults[code].retryable;
  }
}
