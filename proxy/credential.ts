/**
 * Whom a request's Authorization header names. The back end verifies the secret; here only the name matters, so that a
 * device is served to its own user alone. Called by gate.ts; pure; the secret is never returned, stored or logged.
 * Sources: RFC 7617 (Basic), RFC 6750 (Bearer), RFC 7519 (JWT).
 */
import { isUtf8 } from 'node:buffer';

/** The named user, lower case, as sent (`user`, `DOMAIN\user` or `user@domain`), or why there is none. */
export type Credential =
  | { readonly user: string; readonly scheme: 'basic' | 'bearer' }
  | { readonly user: null; readonly problem: string; readonly absent: boolean };

const none = (problem: string, absent = false): Credential => ({ user: null, problem, absent });

/** Reads the value of the only Authorization header, undefined when there is none. Never throws. */
export const readCredential = (header: string | undefined): Credential => {
  if (header === undefined || header === '') return none('there is no credential', true);
  if (basicForm.test(header)) return readBasic(secretOf(header));
  if (bearerForm.test(header)) return readBearer(secretOf(header));
  return none('the credential is neither Basic nor Bearer');
};

const basicForm = /^Basic +[A-Za-z0-9._~+/-]+=*$/i;
const bearerForm = /^Bearer +[A-Za-z0-9._~+/-]+=*$/i;
const secretOf = (header: string): string => header.slice(header.lastIndexOf(' ') + 1);

const readBasic = (value: string): Credential => {
  const bytes = Buffer.from(value, 'base64');
  // Decoders differ on sloppy base64 and could see another user in it: only text that encodes back to itself counts.
  const encoded = bytes.toString('base64');
  if (value !== encoded && value !== encoded.replace(/=+$/, ''))
    return none('the Basic credential is not base64');
  const pair = decodeText(bytes);
  const colon = pair.indexOf(':');
  if (colon < 1) return none('the Basic credential names no user');
  return named(pair.slice(0, colon), 'basic');
};

/** Mobile clients send UTF-8, Outlook ISO-8859-1: what is not valid UTF-8 is the latter. */
const decodeText = (bytes: Buffer): string => bytes.toString(isUtf8(bytes) ? 'utf8' : 'latin1');

/** The token is not verified here: the back end does that, and serves only the user whom a genuine token names. */
const readBearer = (value: string): Credential => {
  const claims = readClaims(value);
  const user = claims?.['upn'] ?? claims?.['preferred_username'] ?? claims?.['unique_name'];
  return typeof user === 'string' ? named(user, 'bearer') : none('the token names no user');
};

const readClaims = (token: string): Record<string, unknown> | undefined => {
  const parts = token.split('.');
  if (parts.length !== 3) return undefined;
  try {
    const claims: unknown = JSON.parse(Buffer.from(parts[1] ?? '', 'base64url').toString('utf8'));
    return typeof claims === 'object' && claims !== null ? (claims as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
};

const printableAscii = /^[\x20-\x7e]*$/;
const control = /\p{Cc}/u;

const named = (name: string, scheme: 'basic' | 'bearer'): Credential => {
  const user = (printableAscii.test(name) ? name : name.normalize('NFC')).trim().toLowerCase();
  const sound = user.length > 0 && user.length <= 320 && !control.test(user);
  return sound ? { user, scheme } : none('the user name is empty, too long or has control characters');
};
