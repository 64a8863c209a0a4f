/**
 * Access tokens of an application for Exchange Online: client credentials (RFC 6749 4.4) with a secret, or with an
 * assertion signed by a certificate's key (RFC 7523 2.2). Called by online.ts.
 */
import { createHash, X509Certificate } from 'node:crypto';
import { importPKCS8, SignJWT } from 'jose';
import { z } from 'zod';
import type { ExchangeSettings } from '../../domain/exchange/exchange.ts';
import type { Clock } from '../../platform/clock.ts';
import { MusterError } from '../../platform/errors.ts';
import { newUuid } from '../../platform/new-id.ts';
import type { Dialled } from './dial.ts';

type Online = Extract<ExchangeSettings, { kind: 'online' }>;

const tokenReply = z.object({
  access_token: z.string().min(1).max(20_000),
  expires_in: z.coerce.number().positive(),
});
const assertionSeconds = 600;
/** A token is renewed this long before it expires, so that none expires on the way. */
const marginMs = 120_000;
const scope = 'https://outlook.office365.com/.default';
const assertionType = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';

/** The two parts of a PEM bundle; undefined when one is missing. */
const pemParts = (bundle: string) => {
  const key = /-----BEGIN PRIVATE KEY-----[^-]+-----END PRIVATE KEY-----/.exec(bundle)?.[0];
  const certificate = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/.exec(bundle)?.[0];
  return key && certificate ? { key, certificate } : undefined;
};

/** The assertion that proves who the application is: Entra knows the certificate by its SHA-256 thumbprint. */
export const assertionOf = async (
  { clientId }: Pick<Online, 'clientId'>,
  bundle: string,
  audience: string,
  now: number,
): Promise<string> => {
  try {
    const parts = pemParts(bundle);
    if (!parts) throw new Error('it needs a PRIVATE KEY (PKCS#8) and a CERTIFICATE in PEM');
    const { raw } = new X509Certificate(parts.certificate);
    const issuedAt = Math.floor(now / 1000);
    return await new SignJWT({})
      .setProtectedHeader({
        alg: 'PS256',
        typ: 'JWT',
        'x5t#S256': createHash('sha256').update(raw).digest('base64url'),
      })
      .setIssuer(clientId)
      .setSubject(clientId)
      .setAudience(audience)
      .setJti(newUuid())
      .setNotBefore(issuedAt)
      .setIssuedAt(issuedAt)
      .setExpirationTime(issuedAt + assertionSeconds)
      .sign(await importPKCS8(parts.key, 'PS256'));
  } catch {
    // The parsers' own messages may quote the key.
    throw new MusterError(
      'exchange-refused',
      'the certificate of the application cannot sign: check its PEM',
    );
  }
};

/** `error` of RFC 6749 5.2 and Entra's number of it; never more of the reply than that. */
const reasonIn = (text: string): string =>
  `${/"error"\s*:\s*"([a-z_]{1,60})"/.exec(text)?.[1] ?? 'no reason'} ${/AADSTS\d{1,9}/.exec(text)?.[0] ?? ''}`.trim();

export interface TokenSource {
  token(): Promise<string>;
  /** Forgets a token that was refused. */
  forget(): void;
}

/** Opens the source of an application's tokens: one is kept until shortly before it expires. */
export const openTokens = (settings: Online, secret: string, login: Dialled, clock: Clock): TokenSource => {
  const path = `/${settings.organisation}/oauth2/v2.0/token`;
  let held: { readonly token: string; readonly freshUntil: number } | undefined;
  const proof = async (now: number): Promise<Record<string, string>> =>
    settings.credential === 'secret'
      ? { client_secret: secret }
      : {
          client_assertion_type: assertionType,
          client_assertion: await assertionOf(settings, secret, `${login.origin}${path}`, now),
        };
  return {
    async token() {
      const now = clock();
      if (held && now < held.freshUntil) return held.token;
      const body = new URLSearchParams({
        grant_type: 'client_credentials',
        client_id: settings.clientId,
        scope,
        ...(await proof(now)),
      }).toString();
      const form = { 'content-type': 'application/x-www-form-urlencoded', accept: 'application/json' };
      const { status, text, retryAfterMs } = await login.post(path, form, body);
      const waits = retryAfterMs === undefined ? {} : { retryAfterMs };
      if (status === 429) throw new MusterError('exchange-throttled', 'no token for now', waits);
      if (status >= 500) throw new MusterError('exchange-unavailable', `no token: ${status}`, waits);
      const reply = status === 200 ? tokenReply.safeParse(parsed(text)) : undefined;
      if (!reply?.success)
        throw new MusterError('exchange-refused', `no token: ${status} (${reasonIn(text)})`);
      const { access_token: token, expires_in: seconds } = reply.data;
      held = { token, freshUntil: now + seconds * 1000 - marginMs };
      return token;
    },
    forget() {
      held = undefined;
    },
  };
};

/** JSON of somebody else's server; undefined when it is none. */
export const parsed = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
};
