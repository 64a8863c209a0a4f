/**
 * Licence keys: compact JWS (RFC 7515) signed with Ed25519 (RFC 8037), verified offline. Algorithm and type are pinned,
 * and a key is taken only from an issuer whose public key this installation trusts.
 * Called by api/graphql/licence.ts and by `muster licence`.
 */
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { CompactSign, calculateJwkThumbprint, compactVerify, decodeProtectedHeader } from 'jose';
import { z } from 'zod';
import {
  edition,
  type LicenceClaims,
  licenceClaims,
  seatCount,
  theLicenceId,
} from '../domain/licence/licence.ts';
import { type Refusal, refuse } from '../domain/refusals.ts';
import { operatorTenantId } from '../domain/tenant/tenant.ts';
import { name } from '../domain/text.ts';
import { isoTime } from './clock.ts';
import { MusterError } from './errors.ts';

/** Where the licence is in the log. */
export const theLicence = { tenantId: operatorTenantId, id: theLicenceId };

/** Public keys (SPKI, PEM) that every installation trusts. The project issues no keys: whoever runs an installation does. */
const builtInIssuers: readonly string[] = [];

const algorithm = 'EdDSA';
const type = 'muster-licence';
/** Far above what a key with the longest licensee needs. */
const maximumLength = 4096;

/** Public keys by thumbprint (RFC 7638), which is what a licence key names its issuer by. */
export type Issuers = ReadonlyMap<string, KeyObject>;

/** What is signed. Times are NumericDate: seconds since the epoch, UTC. */
const payload = z.strictObject({
  jti: z.uuid(),
  sub: z.uuid(),
  licensee: name,
  edition,
  seats: seatCount,
  iat: z.int().min(0).max(253_402_300_799),
  exp: z.int().min(0).max(253_402_300_799),
});

const thumbprintOf = (key: KeyObject): Promise<string> => {
  const publicKey = key.type === 'private' ? createPublicKey(key) : key;
  return calculateJwkThumbprint(publicKey.export({ format: 'jwk' }) as never);
};

const ed25519 = (key: KeyObject, setting: string): KeyObject => {
  if (key.asymmetricKeyType === 'ed25519') return key;
  throw new MusterError(
    'config-invalid',
    `${setting}: is a key of type ${key.asymmetricKeyType}, not Ed25519`,
  );
};

const pemBlocks = /-----BEGIN [^-]+-----[^-]+-----END [^-]+-----/g;

/** The trusted issuers: built-in ones and those of the file, which may hold several. Throws `config-invalid`. */
export const readIssuers = async (publicKeyFile: string | undefined): Promise<Issuers> => {
  const setting = 'MUSTER_LICENCE_PUBLIC_KEY';
  const keys = builtInIssuers.map((pem) => createPublicKey(pem));
  if (publicKeyFile !== undefined) {
    try {
      const blocks = readFileSync(publicKeyFile, 'utf8').match(pemBlocks) ?? [];
      if (blocks.length === 0) throw new TypeError('it holds no PEM block');
      if (blocks.some((block) => block.includes('PRIVATE'))) throw new TypeError('it holds a private key');
      keys.push(...blocks.map((block) => ed25519(createPublicKey(block), setting)));
    } catch (cause) {
      if (cause instanceof MusterError) throw cause;
      throw new MusterError('config-invalid', `${setting}: cannot be read: ${(cause as Error).message}`, {
        cause,
      });
    }
  }
  return new Map(await Promise.all(keys.map(async (key) => [await thumbprintOf(key), key] as const)));
};

/** A new key pair of an issuer, as PEM. */
export const newIssuer = (): { readonly privateKey: string; readonly publicKey: string } => {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  return {
    privateKey: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
    publicKey: publicKey.export({ type: 'spki', format: 'pem' }) as string,
  };
};

/** What an issuer decides about a licence key; the rest follows from the key pair. */
export type NewLicence = Omit<LicenceClaims, 'issuer'>;

/** Issues a licence key; `privateKeyPem` is an Ed25519 key. Throws `invalid-input`. */
export const issueLicenceKey = async (licence: NewLicence, privateKeyPem: string): Promise<string> => {
  const privateKey = privateKeyOf(privateKeyPem);
  const { keyId, installationId, licensee, seats, issuedAt, expiresAt } = licence;
  const claims = payload.safeParse({
    jti: keyId,
    sub: installationId,
    licensee,
    edition: licence.edition,
    seats,
    iat: Math.floor(Date.parse(issuedAt) / 1000),
    exp: Math.floor(Date.parse(expiresAt) / 1000),
  });
  if (!claims.success) throw new MusterError('invalid-input', z.prettifyError(claims.error));
  if (claims.data.exp <= claims.data.iat)
    throw new MusterError('invalid-input', `it would expire at ${expiresAt}, before it is issued`, {
      field: 'expiresAt',
    });
  return new CompactSign(new TextEncoder().encode(JSON.stringify(claims.data)))
    .setProtectedHeader({ alg: algorithm, typ: type, kid: await thumbprintOf(privateKey) })
    .sign(privateKey);
};

const privateKeyOf = (pem: string): KeyObject => {
  let key: KeyObject;
  try {
    key = createPrivateKey(pem);
  } catch (cause) {
    throw new MusterError('invalid-input', `the private key cannot be read: ${(cause as Error).message}`, {
      cause,
    });
  }
  if (key.asymmetricKeyType !== 'ed25519')
    throw new MusterError(
      'invalid-input',
      `the private key is of type ${key.asymmetricKeyType}, not Ed25519`,
    );
  return key;
};

const header = z.strictObject({
  alg: z.literal(algorithm),
  typ: z.literal(type),
  kid: licenceClaims.shape.issuer,
});
const invalid = (detail: string): Refusal => refuse('licence-key-invalid', { field: 'key', detail });

/** Claims as the key states them, whoever signed it; refuses `licence-key-invalid` when it is no licence key at all. */
export const readLicenceKey = (key: string): LicenceClaims | Refusal => {
  const trimmed = key.trim();
  if (trimmed.length > maximumLength) return invalid('it is too long');
  const [, body = '', signature, ...more] = trimmed.split('.');
  if (signature === undefined || more.length > 0) return invalid('it does not have three parts');
  try {
    const stated = header.safeParse(decodeProtectedHeader(trimmed));
    if (!stated.success) return invalid(`its header is not that of a ${type} signed with ${algorithm}`);
    const claims = payload.safeParse(JSON.parse(Buffer.from(body, 'base64url').toString('utf8')));
    if (!claims.success) return invalid('its claims are not those of a licence');
    const { jti, sub, iat, exp, ...rest } = claims.data;
    return {
      ...rest,
      keyId: jti,
      installationId: sub,
      issuer: stated.data.kid,
      issuedAt: isoTime(iat * 1000),
      expiresAt: isoTime(exp * 1000),
    };
  } catch {
    return invalid('it cannot be decoded');
  }
};

/**
 * Claims of a key that a trusted issuer signed; refuses `licence-key-invalid` and `licence-key-untrusted`. For which
 * installation and until when is decided in domain/licence/.
 */
export const verifyLicenceKey = async (key: string, issuers: Issuers): Promise<LicenceClaims | Refusal> => {
  const claims = readLicenceKey(key);
  if ('refused' in claims) return claims;
  const issuer = issuers.get(claims.issuer);
  if (!issuer)
    return refuse('licence-key-untrusted', { field: 'key', detail: `the issuer is ${claims.issuer}` });
  try {
    await compactVerify(key.trim(), issuer, { algorithms: [algorithm] });
    return claims;
  } catch {
    return invalid('its signature does not match');
  }
};
