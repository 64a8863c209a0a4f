/**
 * The one mapping from the catalogue of errors to HTTP: status, problem+json body (RFC 9457), headers.
 * Called by every HTTP edge of api/: main.ts, device/, proxy/, events/; api/graphql/ uses the same particulars.
 */
import type { ServerResponse } from 'node:http';
import { isRefusal, type Refusal } from '../domain/refusals.ts';
import { describeCode, type ErrorCode, MusterError } from '../platform/errors.ts';
import type { Logger } from '../platform/log.ts';
import { newUuid } from '../platform/new-id.ts';

const statuses: Readonly<Record<ErrorCode, number>> = {
  'account-disabled': 403,
  'account-exists': 409,
  'account-missing': 404,
  'address-refused': 403,
  'api-key-expired': 409,
  'api-key-missing': 404,
  'approval-decided': 409,
  'approval-expired': 410,
  'approval-missing': 404,
  'approval-own': 409,
  'approval-required': 409,
  'approver-too-new': 409,
  'backup-damaged': 500,
  'backup-mismatched': 500,
  'body-too-deep': 400,
  'body-too-large': 413,
  'breached-list-missing': 409,
  'bundle-conflict': 409,
  'bundle-missing': 404,
  'bundle-retired': 409,
  'challenge-key-missing': 409,
  'compliance-policy-in-use': 409,
  'compliance-policy-missing': 404,
  'compliance-policy-retired': 409,
  'config-invalid': 500,
  'confirmation-wrong': 409,
  'cross-site-request': 403,
  'data-dir-in-use': 500,
  'dependency-unavailable': 503,
  'deployment-missing': 404,
  'device-already-enrolled': 409,
  'device-exists': 409,
  'device-missing': 404,
  'device-not-enrolled': 409,
  'device-retired': 410,
  'directory-missing': 404,
  'directory-refused': 502,
  'directory-unavailable': 503,
  'exchange-connection-missing': 404,
  'exchange-connections-full': 409,
  'exchange-refused': 502,
  'exchange-throttled': 503,
  'exchange-unavailable': 503,
  'mailbox-missing': 502,
  'duplicate-row': 409,
  'edition-required': 403,
  'enrolment-expired': 410,
  'enrolment-missing': 404,
  'enrolment-revoked': 410,
  'enrolment-used': 409,
  'document-not-own': 403,
  'document-unknown': 404,
  'event-unreadable': 500,
  forbidden: 403,
  'group-missing': 404,
  'group-not-empty': 409,
  'handout-missing': 404,
  'identity-bound': 409,
  'identity-provider-missing': 404,
  'identity-provider-refused': 502,
  'identity-provider-unavailable': 503,
  'import-missing': 404,
  internal: 500,
  'invalid-csv': 422,
  'invalid-input': 422,
  'invalid-json': 400,
  'last-administrator': 409,
  'licence-expired': 403,
  'licence-key-expired': 409,
  'licence-key-foreign': 409,
  'licence-key-invalid': 422,
  'licence-key-superseded': 409,
  'licence-key-untrusted': 409,
  'licence-missing': 403,
  'link-invalid': 410,
  'log-behind-readers': 500,
  'log-damaged': 500,
  'log-exists': 500,
  'mail-device-mismatch': 409,
  'mail-device-taken': 409,
  'mail-sighting-missing': 404,
  'method-not-allowed': 405,
  'name-taken': 409,
  'not-found': 404,
  'own-address-excluded': 409,
  'password-account-missing': 409,
  'password-account-needed': 409,
  'passkeys-off': 409,
  'password-change-required': 403,
  'password-refused': 422,
  'platform-disabled': 409,
  'platform-mismatch': 409,
  'passkey-missing': 404,
  'policy-missing': 404,
  'policy-retired': 409,
  'position-beyond-log': 410,
  'proxy-missing': 404,
  'push-rejected': 502,
  'push-token-dead': 410,
  'push-unavailable': 503,
  'query-too-complex': 400,
  'role-in-use': 409,
  'role-missing': 404,
  'role-retired': 409,
  'safeguard-reached': 503,
  'scavenge-running': 503,
  'seats-exceed-licence': 409,
  'seats-exhausted': 409,
  'second-factor-off': 409,
  'second-factor-on': 409,
  'second-factor-required': 403,
  'session-missing': 404,
  'sign-in-over': 410,
  'single-sign-on-failed': 403,
  'single-sign-on-required': 403,
  'stream-deleted': 410,
  'support-access-missing': 403,
  'task-finished': 409,
  'task-missing': 404,
  'template-invalid': 409,
  'template-missing': 404,
  'template-retired': 409,
  'tenant-deleted': 410,
  'tenant-exists': 409,
  'tenant-expired': 403,
  'tenant-missing': 404,
  'tenant-not-deleted': 409,
  'tenant-suspended': 403,
  'too-busy': 503,
  'too-many-attempts': 429,
  'totp-not-begun': 409,
  'trial-unregistered': 403,
  unauthenticated: 401,
  'unsupported-encoding': 415,
  'unsupported-media-type': 415,
  'too-many-passkeys': 409,
  'user-disabled': 409,
  'user-exists': 409,
  'user-group-full': 409,
  'user-group-missing': 404,
  'user-has-devices': 409,
  'user-missing': 404,
  'user-removed': 410,
  'version-conflict': 409,
};

/** HTTP status of a code. */
export const statusOf = (code: ErrorCode): number => statuses[code];

/** What any edge says about an error. `message` and `field` are safe to show: of a fault within Muster, neither. */
export interface Particulars {
  readonly code: ErrorCode;
  readonly message: string;
  readonly field: string | null;
  readonly advice: string;
}

/** Faults whose own words may name inner parts: callers get the title, the log gets the words. */
const innerFaults: readonly ErrorCode[] = [
  'backup-damaged',
  'backup-mismatched',
  'config-invalid',
  'data-dir-in-use',
  'dependency-unavailable',
  'event-unreadable',
  'internal',
  'log-behind-readers',
  'log-damaged',
  'log-exists',
  'push-rejected',
  'push-unavailable',
];

/** Whether the caller can do nothing about an error, so that it belongs into the log. */
export const isInnerFault = (code: ErrorCode): boolean => innerFaults.includes(code);

/** Codes by which drivers tell that a server is away: Node's, postgres.js's, and PostgreSQL's classes 08, 53, 57P. */
const outage = /^(ECONN(REFUSED|RESET)|EPIPE|ENOENT|ETIMEDOUT|CONNECT(_TIMEOUT|ION_\w+)|08...|53...|57P..)$/;

const codeOfThrown = (error: unknown): 'dependency-unavailable' | 'internal' => {
  const { code } = (typeof error === 'object' && error !== null ? error : {}) as { code?: unknown };
  return error instanceof Error && outage.test(String(code)) ? 'dependency-unavailable' : 'internal';
};

/** Particulars of a refusal, a MusterError, or anything else that was thrown: an outage of a database, or `internal`. */
export const particularsOf = (error: unknown): Particulars => {
  const { code, detail, field } = isRefusal(error)
    ? { code: error.refused, detail: error.detail, field: error.field }
    : error instanceof MusterError
      ? { code: error.code, detail: error.message, field: error.field }
      : { code: codeOfThrown(error), detail: undefined, field: undefined };
  const { title, advice } = describeCode(code);
  const inner = isInnerFault(code);
  return {
    code,
    message: !inner && detail ? `${title}: ${detail}` : title,
    field: (inner ? undefined : field) ?? null,
    advice,
  };
};

/** A problem details object (RFC 9457 §3); `field`, `advice` and `requestId` are extension members. */
export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail?: string;
  readonly field?: string;
  readonly advice: string;
  readonly requestId: string;
}

/** The problem that describes an error of any kind. */
export const problemOf = (error: unknown, requestId: string): Problem => {
  const { code, message, field, advice } = particularsOf(error);
  const { title } = describeCode(code);
  const detail = message === title ? undefined : message.slice(title.length + 2);
  return {
    type: `/errors#${code}`,
    title,
    status: statuses[code],
    ...(detail === undefined ? {} : { detail }),
    ...(field === null ? {} : { field }),
    advice,
    requestId,
  };
};

const requestIdHeader = 'x-request-id';

/** The id of the request that `res` answers: made at first use, sent as `x-request-id`, named in problems and logs. */
export const requestIdOf = (res: ServerResponse): string => {
  const known = res.getHeader(requestIdHeader);
  if (typeof known === 'string') return known;
  const made = newUuid();
  if (!res.headersSent) res.setHeader(requestIdHeader, made);
  return made;
};

/** A `method-not-allowed` that knows the methods of the route, for the Allow header (RFC 9110 §10.2.1). */
export interface MethodFault extends MusterError {
  readonly allow: string;
}

/** The fault of a request whose method the route does not have. */
export const methodNotAllowed = (...methods: string[]): MethodFault =>
  Object.assign(new MusterError('method-not-allowed', `send ${methods.join(' or ')}`), {
    allow: methods.join(', '),
  });

/**
 * Answers with the problem that describes `error` and logs faults within Muster. `allow` lists the methods of a 405;
 * `retryAfterSeconds` defaults to 1 where repeating can help. Once a body has begun, the connection is cut instead.
 */
export const sendProblem = (
  res: ServerResponse,
  error: Refusal | MusterError | unknown,
  options: { log: Logger; allow?: string; retryAfterSeconds?: number },
): void => {
  const requestId = requestIdOf(res);
  const problem = problemOf(error, requestId);
  const { code } = particularsOf(error);
  if (isInnerFault(code)) options.log.error({ err: error, requestId, code }, 'request failed');
  if (res.headersSent) {
    res.destroy();
    return;
  }
  const body = JSON.stringify(problem);
  if (options.allow !== undefined) res.setHeader('allow', options.allow);
  if (problem.status === 401) res.setHeader('www-authenticate', 'Bearer');
  if (problem.status === 503 || problem.status === 429)
    res.setHeader('retry-after', String(options.retryAfterSeconds ?? 1));
  res.writeHead(problem.status, {
    'content-type': 'application/problem+json',
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
  });
  res.end(body);
};
