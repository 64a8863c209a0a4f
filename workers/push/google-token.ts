/**
 * Access tokens of a Google service account by the OAuth 2.0 JWT bearer flow (RFC 7523; developers.google.com/
 * identity/protocols/oauth2/service-account). Called by fcm.ts.
 */
import { readFile } from 'node:fs/promises';
import { importPKCS8, SignJWT } from 'jose';
import { type Dispatcher, request } from 'undici';
import { z } from 'zod';
import type { Clock } from '../../platform/clock.ts';
import { MusterError } from '../../platform/errors.ts';

const loopback = new Set(['localhost', '127.0.0.1', '[::1]']);

/** True for https, and for http that stays on this machine: credentials never travel in the clear. */
export const isSafeUrl = (url: string): boolean => {
  const { protocol, hostname } = new URL(url);
  return protocol === 'https:' || loopback.has(hostname);
};

const serviceAccount = z.object({
  type: z.literal('service_account'),
  project_id: z.string().regex(/^[a-z0-9:.-]{1,60}$/),
  client_email: z.email(),
  private_key_id: z.string().min(1),
  private_key: z.string().startsWith('-----BEGIN PRIVATE KEY-----'),
  token_uri: z.url({ protocol: /^https?$/ }).refine(isSafeUrl, 'must be https'),
});
export type ServiceAccount = z.infer<typeof serviceAccount>;

/** Reads the key file that the Google console hands out; `config-invalid` names the file and the wrong fields. */
export const readServiceAccount = async (file: string): Promise<ServiceAccount> => {
  const fault = (detail: string, cause?: unknown) =>
    new MusterError('config-invalid', `MUSTER_FCM_SERVICE_ACCOUNT: ${file}: ${detail}`, {
      field: 'fcmServiceAccountFile',
      cause,
    });
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw fault('cannot be read', cause);
  });
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    // The parser's own message quotes the file, which holds a private key.
    throw fault('is not JSON');
  }
  const parsed = serviceAccount.safeParse(json);
  if (parsed.success) return parsed.data;
  throw fault(parsed.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`).join('; '));
};

const tokenReply = z.object({ access_token: z.string().min(1), expires_in: z.number().positive() });

/** An assertion is good for this long, the longest Google takes. */
const assertionSeconds = 3600;
/** A token is renewed this long before it expires, so that none expires on the way. */
const marginMs = 60_000;

const ask = async (account: ServiceAccount, assertion: string, dispatcher: Dispatcher) => {
  try {
    const reply = await request(account.token_uri, {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: new URLSearchParams({
        grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer',
        assertion,
      }).toString(),
      dispatcher,
    });
    return { status: reply.statusCode, text: await reply.body.text() };
  } catch (cause) {
    throw new MusterError('push-unavailable', `${account.token_uri} does not answer`, { cause });
  }
};

const readReply = (text: string): z.infer<typeof tokenReply> | undefined => {
  try {
    return tokenReply.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
};

/** `oauthError` of RFC 6749 5.2 ("invalid_grant"), for the operator; never more of a reply than that. */
const oauthError = (text: string): string => /"error"\s*:\s*"([a-z_]{1,60})"/.exec(text)?.[1] ?? 'no reason';

/** Yields access tokens: cached until shortly before they expire, one request at a time however many ask. */
export interface TokenSource {
  token(): Promise<string>;
  /** Forgets `token`, which the service refused, unless a newer one is there already. */
  forget(token: string): void;
}

/** Opens the token source of a service account. A key that cannot sign is `config-invalid`. */
export const openTokenSource = async (
  account: ServiceAccount,
  scope: string,
  parts: { clock: Clock; dispatcher: Dispatcher },
): Promise<TokenSource> => {
  const key = await importPKCS8(account.private_key, 'RS256').catch((cause: unknown) => {
    throw new MusterError('config-invalid', 'MUSTER_FCM_SERVICE_ACCOUNT: private_key is not an RSA key', {
      field: 'fcmServiceAccountFile',
      cause,
    });
  });
  let held: { token: string; freshUntil: number } | undefined;
  let asking: Promise<string> | undefined;
  const renew = async (): Promise<string> => {
    const now = parts.clock();
    const issuedAt = Math.floor(now / 1000);
    const assertion = await new SignJWT({ scope })
      .setProtectedHeader({ alg: 'RS256', typ: 'JWT', kid: account.private_key_id })
      .setIssuer(account.client_email)
      .setAudience(account.token_uri)
      .setIssuedAt(issuedAt)
      .setExpirationTime(issuedAt + assertionSeconds)
      .sign(key);
    const { status, text } = await ask(account, assertion, parts.dispatcher);
    const reply = status === 200 ? readReply(text) : undefined;
    if (!reply) {
      const temporary = status === 200 || status === 429 || status >= 500;
      throw new MusterError(
        temporary ? 'push-unavailable' : 'push-rejected',
        `${account.token_uri} answers ${status} (${oauthError(text)})`,
      );
    }
    held = { token: reply.access_token, freshUntil: now + reply.expires_in * 1000 - marginMs };
    return held.token;
  };
  return {
    async token() {
      if (held && parts.clock() < held.freshUntil) return held.token;
      asking ??= renew().finally(() => {
        asking = undefined;
      });
      return asking;
    },
    forget(token) {
      if (held?.token === token) held = undefined;
    },
  };
};
