/** Licence keys: what is issued is verified, and nothing else. */
import assert from 'node:assert/strict';
import { createPrivateKey, createPublicKey, generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { calculateJwkThumbprint, SignJWT, UnsecuredJWT } from 'jose';
import { isRefusal } from '../../domain/refusals.ts';
import {
  type Issuers,
  issueLicenceKey,
  newIssuer,
  readIssuers,
  readLicenceKey,
  verifyLicenceKey,
} from '../../platform/licence.ts';

const folder = mkdtempSync(join(tmpdir(), 'muster-licence-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const licence = {
  keyId: '00000000-0000-4000-8000-000000000001',
  installationId: '00000000-0000-4000-8000-000000000002',
  licensee: 'Acme Ltd',
  edition: 'advanced' as const,
  seats: 50,
  issuedAt: '2026-01-01T00:00:00.000Z',
  expiresAt: '2027-01-01T00:00:00.000Z',
};
const claims = {
  jti: licence.keyId,
  sub: licence.installationId,
  licensee: licence.licensee,
  edition: licence.edition,
  seats: licence.seats,
  iat: Date.parse(licence.issuedAt) / 1000,
  exp: Date.parse(licence.expiresAt) / 1000,
};
const trusted = newIssuer();
const stranger = newIssuer();
let issuers: Issuers;
let kid: string;
before(async () => {
  const file = join(folder, 'issuers.pub');
  writeFileSync(file, `${newIssuer().publicKey}${trusted.publicKey}`);
  issuers = await readIssuers(file);
  kid = await calculateJwkThumbprint(createPublicKey(trusted.publicKey).export({ format: 'jwk' }) as never);
});

const refusedFor = async (key: string): Promise<string | undefined> => {
  const outcome = await verifyLicenceKey(key, issuers);
  return isRefusal(outcome) ? outcome.refused : undefined;
};
const encoded = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');

test('a key of a trusted issuer says what was issued; space around it does not matter', async () => {
  const key = await issueLicenceKey(licence, trusted.privateKey);
  assert.deepEqual(await verifyLicenceKey(`\n ${key} \n`, issuers), { ...licence, issuer: kid });
  assert.deepEqual(readLicenceKey(key), { ...licence, issuer: kid });
});

test('a key of anybody else is not trusted, though it can be read', async () => {
  const key = await issueLicenceKey(licence, stranger.privateKey);
  assert.equal(await refusedFor(key), 'licence-key-untrusted');
  assert.ok(!isRefusal(readLicenceKey(key)));
});

test('a stranger who names the trusted issuer is found out', async () => {
  const [head, body, signature] = (await issueLicenceKey(licence, stranger.privateKey)).split('.');
  const header = { ...JSON.parse(Buffer.from(head as string, 'base64url').toString()), kid };
  assert.equal(await refusedFor(`${encoded(header)}.${body}.${signature}`), 'licence-key-invalid');
});

test('every changed character of a key is noticed', async () => {
  const key = await issueLicenceKey(licence, trusted.privateKey);
  const [head, , signature] = key.split('.');
  assert.equal(
    await refusedFor(`${head}.${encoded({ ...claims, seats: 5000 })}.${signature}`),
    'licence-key-invalid',
  );
  for (let index = 0; index < key.length - 1; index += 7) {
    const other = key[index] === 'A' ? 'B' : 'A';
    assert.ok(await refusedFor(`${key.slice(0, index)}${other}${key.slice(index + 1)}`), `at ${index}`);
  }
});

test('no other algorithm is taken: none, HS256 with the public key as its secret, RS256, another type', async () => {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const header = { typ: 'muster-licence', kid };
  const none = new UnsecuredJWT(claims).encode();
  const forged = [
    none,
    `${encoded({ alg: 'none', ...header })}.${encoded(claims)}.`,
    await new SignJWT(claims)
      .setProtectedHeader({ alg: 'HS256', ...header })
      .sign(Buffer.from(trusted.publicKey)),
    await new SignJWT(claims).setProtectedHeader({ alg: 'RS256', ...header }).sign(privateKey),
    await new SignJWT(claims)
      .setProtectedHeader({ alg: 'EdDSA', typ: 'JWT', kid })
      .sign(createPrivateKey(trusted.privateKey)),
  ];
  for (const key of forged) assert.equal(await refusedFor(key), 'licence-key-invalid', key);
});

test('nonsense is refused and never thrown', async () => {
  const head = encoded({ alg: 'EdDSA', typ: 'muster-licence', kid });
  const bodies = ['', '%%%', encoded([]), encoded({ ...claims, seats: -1 }), encoded({ ...claims, more: 1 })];
  for (const key of [
    '',
    '.',
    '..',
    '...',
    'a.b.c',
    'x'.repeat(100_000),
    ...bodies.map((body) => `${head}.${body}.AA`),
  ])
    assert.equal(await refusedFor(key), 'licence-key-invalid', key.slice(0, 80));
});

test('only an Ed25519 key issues, and only what can be a licence', async () => {
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({
    type: 'pkcs8',
    format: 'pem',
  }) as string;
  const invalid = { code: 'invalid-input' };
  await assert.rejects(issueLicenceKey(licence, rsa), invalid);
  await assert.rejects(issueLicenceKey(licence, 'nonsense'), invalid);
  await assert.rejects(issueLicenceKey({ ...licence, installationId: 'x' }, trusted.privateKey), invalid);
  const backwards = { ...licence, expiresAt: licence.issuedAt };
  await assert.rejects(issueLicenceKey(backwards, trusted.privateKey), invalid);
});

test('a file of public keys that cannot be used is told as a fault of the setting', async () => {
  const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const faulty = {
    'missing.pub': undefined,
    'empty.pub': '',
    'rsa.pub': publicKey.export({ type: 'spki', format: 'pem' }) as string,
    'private.pub': trusted.privateKey,
  };
  for (const [name, content] of Object.entries(faulty)) {
    const file = join(folder, name);
    if (content !== undefined) writeFileSync(file, content);
    await assert.rejects(readIssuers(file), { code: 'config-invalid', message: /MUSTER_LICENCE_PUBLIC_KEY/ });
  }
  assert.equal((await readIssuers(undefined)).size, 0);
});
