/**
 * The challenge after failures, with a loopback reCAPTCHA: asked of strangers, judged by the provider, never a lock.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { MusterError } from '../../../platform/errors.ts';
import { openSeal } from '../../../platform/seal.ts';
import { type RecaptchaServer, startRecaptcha } from '../../support/recaptcha.ts';
import { type ApiStage, openStage, type TenantStage } from '../stage.ts';
import { at, behindBalancer, tryIn } from './people.ts';

let stage: ApiStage;
let recaptcha: RecaptchaServer;
let acme: TenantStage;
let other: TenantStage;

before(async () => {
  recaptcha = await startRecaptcha();
  stage = await openStage({
    settings: {
      ...behindBalancer,
      recaptchaEndpoint: recaptcha.endpoint,
      publicUrl: 'https://muster.example.org',
    },
  });
  acme = await stage.tenant('acme');
  other = await stage.tenant('other');
});
after(async () => {
  await stage.stop();
  await recaptcha.stop();
});

const choose = (input: object) =>
  acme.client.mutate(
    'chooseSignInChallenge',
    input,
    'SignInSettingsPayload',
    'signInSettings { challenge { provider afterFailures siteKey } }',
  );
const wrong = () => ({ ...acme, password: 'not the password' });
/** A stranger at an address of its own. */
let strangers = 0;
const stranger = () => {
  strangers += 1;
  return at(stage, `192.0.2.${strangers}`);
};

test('both keys are needed; the secret one is sealed and shown to nobody', async () => {
  const { siteKey, secret } = recaptcha;
  const noSite = await choose({ provider: 'RECAPTCHA', secret });
  assert.deepEqual([noSite.code, noSite.field], ['challenge-key-missing', 'siteKey']);
  const unsealed = await other.client.mutate(
    'chooseSignInChallenge',
    { provider: 'RECAPTCHA', siteKey },
    'SignInSettingsPayload',
    'pending',
  );
  assert.deepEqual([unsealed.code, unsealed.field], ['challenge-key-missing', 'secret'], 'another tenant’s');
  const chosen = await choose({ provider: 'RECAPTCHA', siteKey, secret, afterFailures: 2 });
  assert.deepEqual(chosen.signInSettings.challenge, { provider: 'RECAPTCHA', afterFailures: 2, siteKey });
  const rows = await stage.deps.sql`
    select sealed from vault.sealed_secrets where tenant_id = ${acme.tenantId}`;
  assert.equal(rows.length, 1);
  assert.ok(!JSON.stringify(rows).includes(secret));
  const { audit } = await acme.client.query('{ audit(first: 100) { nodes { data } } }');
  assert.ok(!JSON.stringify(audit).includes(secret));
});

test('after failures strangers are asked, with the site key; the answer lets them on', async () => {
  for (let failures = 0; failures < 2; failures += 1)
    assert.equal((await tryIn(stranger(), wrong())).code, 'unauthenticated');
  const client = stranger();
  const asked = await tryIn(client, acme);
  assert.deepEqual([asked.step, asked.token], ['CHALLENGE', null]);
  assert.deepEqual(asked.challenge, { provider: 'RECAPTCHA', siteKey: recaptcha.siteKey });
  for (const challengeAnswer of ['made up', ''])
    assert.equal((await tryIn(client, acme, { challengeAnswer })).step, 'CHALLENGE');
  const elsewhere = recaptcha.solve({ hostname: 'evil.example' });
  assert.equal((await tryIn(client, acme, { challengeAnswer: elsewhere })).step, 'CHALLENGE');
  const unlikely = recaptcha.solve({ score: 0.1 });
  assert.equal((await tryIn(client, acme, { challengeAnswer: unlikely })).step, 'CHALLENGE');
  const challengeAnswer = recaptcha.solve({ score: 0.9 });
  assert.equal((await tryIn(client, acme, { challengeAnswer })).step, 'SIGNED_IN');
  assert.deepEqual(recaptcha.taken.at(-1), {
    secret: recaptcha.secret,
    response: challengeAnswer,
    remoteip: `192.0.2.${strangers}`,
  });
  const again = await tryIn(stranger(), acme, { challengeAnswer });
  assert.equal(again.step, 'CHALLENGE', 'an answer is good once');
});

test('who is known is not asked for the failures of others', async () => {
  assert.equal((await tryIn(at(stage, '127.0.0.1'), acme)).step, 'SIGNED_IN');
  assert.equal((await tryIn(stranger(), other)).step, 'SIGNED_IN', 'nor is another tenant');
});

test('an answer does not replace the password', async () => {
  const refused = await tryIn(stranger(), wrong(), { challengeAnswer: recaptcha.solve() });
  assert.equal(refused.code, 'unauthenticated');
});

test('made-up answers are slowed down before the provider is asked', async () => {
  const client = stranger();
  const steps: string[] = [];
  for (let tries = 0; tries < 6; tries += 1) {
    const answer = await tryIn(client, acme, { challengeAnswer: 'made up' });
    steps.push(answer.step ?? answer.code);
  }
  assert.deepEqual(steps, [...Array(5).fill('CHALLENGE'), 'too-many-attempts']);
});

test('a provider that is away, or refuses the key, locks nobody out', async () => {
  for (const [status, text] of [
    [503, 'busy'],
    [200, '<html>'],
    [200, JSON.stringify({ success: false, 'error-codes': ['invalid-input-secret'] })],
    [200, JSON.stringify({ success: false, 'error-codes': ['bad-request'] })],
  ] as const) {
    recaptcha.failNext(status, text);
    assert.equal((await tryIn(stranger(), acme, { challengeAnswer: 'any' })).step, 'SIGNED_IN', text);
  }
});

test('a sealed secret opens for its tenant and purpose alone, and unchanged', () => {
  const key = Buffer.alloc(32, 7).toString('base64');
  const seal = openSeal({ secretKey: key, dataDir: '' });
  const whose = { tenantId: acme.tenantId, purpose: 'recaptcha' };
  const sealed = seal.seal('säcret', whose);
  assert.equal(seal.open(sealed, whose), 'säcret');
  assert.notEqual(seal.seal('säcret', whose), sealed);
  const fault = (error: unknown) => error instanceof MusterError && error.code === 'config-invalid';
  const [, body = ''] = sealed.split('.');
  const flipped = Buffer.from(body, 'base64url');
  flipped[flipped.length - 1] = (flipped.at(-1) as number) ^ 1;
  for (const [text, of] of [
    [sealed, { ...whose, tenantId: other.tenantId }],
    [sealed, { ...whose, purpose: 'totp' }],
    [`v1.${flipped.toString('base64url')}`, whose],
    [`v2.${body}`, whose],
    ['v1.', whose],
    ['', whose],
  ] as const)
    assert.throws(() => seal.open(text, of), fault);
  const foreign = openSeal({ secretKey: Buffer.alloc(32, 8).toString('base64'), dataDir: '' });
  assert.throws(() => foreign.open(sealed, whose), fault);
});
