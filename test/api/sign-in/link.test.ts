/**
 * Invitations and password resets over a loopback mail server: single-use, expiring, pinned to the public address.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type SmtpStage, startSmtp } from '../../support/smtp.ts';
import { type ApiStage, clientOf, type Json, openStage, type TenantStage } from '../stage.ts';
import { audited, tryIn, until } from './people.ts';

let smtp: SmtpStage;
let stage: ApiStage;
let acme: TenantStage;
let other: TenantStage;
let aheadMs = 0;

before(async () => {
  smtp = await startSmtp();
  stage = await openStage({
    settings: {
      smtpUrl: smtp.url,
      publicUrl: 'https://muster.example.org/',
      mailFrom: 'door@muster.example.org',
    },
    clock: () => Date.now() + aheadMs,
  });
  acme = await stage.tenant('acme');
  other = await stage.tenant('other');
});
after(async () => {
  await stage.stop();
  await smtp.stop();
});

const linkFields = 'mailed link expiresAt pending account { id email status }';
const invite = (email: string, name = 'Eve') =>
  acme.client.mutate(
    'inviteAccount',
    { email, name, role: 'administrator' },
    'SignInLinkPayload',
    linkFields,
  );
const redeem = (token: string, newPassword: string): Promise<Json> =>
  stage.nobody.mutate(
    'redeemLink',
    { token, newPassword },
    'RedeemLinkPayload',
    'tenantSlug email clientToken pending',
  );
const reset = (tenantSlug: string, email: string, headers = {}) =>
  clientOf(stage.api.url, undefined, headers).mutate(
    'requestPasswordReset',
    { tenantSlug, email },
    'RequestPasswordResetPayload',
    'requested',
  );
const tokenIn = (text = ''): string =>
  /https:\/\/muster\.example\.org\/redeem#(muster-link\.[\w-]{43})/.exec(text)?.[1] ?? '';
const minuteMs = 60_000;

test('an invitation is mailed; its holder chooses a password, once', async () => {
  const invited = await invite('Eve@acme.example');
  assert.deepEqual([invited.mailed, invited.link, invited.account.email], [true, null, 'eve@acme.example']);
  await smtp.untilArrived(1);
  const [mail] = smtp.arrived;
  assert.deepEqual([mail?.from, mail?.to], ['door@muster.example.org', ['eve@acme.example']]);
  assert.match(mail?.text ?? '', /Subject: You are invited to Tenant acme/);
  const token = tokenIn(mail?.text);
  const eve = { slug: 'acme', email: 'eve@acme.example', password: 'a word of my own choice' };
  assert.equal((await tryIn(stage.nobody, eve)).code, 'unauthenticated', 'no password yet');
  const weak = await redeem(token, 'Password123!');
  assert.deepEqual([weak.code, weak.field], ['password-refused', 'newPassword']);
  const redeemed = await redeem(token, eve.password);
  assert.deepEqual([redeemed.tenantSlug, redeemed.email], ['acme', eve.email]);
  const entered = await tryIn(stage.nobody, eve);
  assert.deepEqual([entered.step, entered.passwordDue], ['SIGNED_IN', null]);
  const twice = await redeem(token, 'another word of my own');
  assert.deepEqual([twice.__typename, twice.code], ['Refusal', 'link-invalid']);
});

test('of two who redeem at once, one does', async () => {
  await invite('bob@acme.example', 'Bob');
  await smtp.untilArrived(2);
  const token = tokenIn(smtp.arrived.at(-1)?.text);
  const both = await Promise.all([
    redeem(token, 'the first of two words'),
    redeem(token, 'the second of two words'),
  ]);
  assert.deepEqual(both.map(({ __typename }) => __typename).sort(), ['RedeemLinkPayload', 'Refusal']);
});

test('a reset answers the same for everybody, ends sessions, and expires within the hour', async () => {
  const sent = smtp.arrived.length;
  const hosts = { host: 'evil.example', 'x-forwarded-host': 'evil.example' };
  const answers = [
    await reset('acme', acme.email, hosts),
    await reset('acme', 'nobody@acme.example'),
    await reset('nowhere', acme.email),
    await reset('other', acme.email),
    await reset('\u0000', '\ud800'),
  ];
  for (const answer of answers)
    assert.deepEqual(answer, { __typename: 'RequestPasswordResetPayload', requested: true });
  await smtp.untilArrived(sent + 1);
  const mail = smtp.arrived.at(-1);
  assert.deepEqual(mail?.to, [acme.email]);
  assert.ok(!mail?.text.includes('evil.example'));
  const token = tokenIn(mail?.text);
  aheadMs += 61 * minuteMs;
  assert.equal((await redeem(token, 'much too late for this')).code, 'link-invalid');

  await reset('acme', acme.email);
  await smtp.untilArrived(sent + 2);
  await reset('acme', acme.email);
  const session = await tryIn(stage.nobody, acme);
  const fresh = tokenIn(smtp.arrived.at(-1)?.text);
  const changed = await redeem(fresh, 'an entirely new password');
  assert.equal(changed.email, acme.email, JSON.stringify(changed));
  const over = await clientOf(stage.api.url, session.token).raw('{ viewer { email } }');
  assert.equal(over.errors[0]?.extensions.code, 'unauthenticated');
  acme = { ...acme, password: 'an entirely new password' };
  const { token: own } = await tryIn(stage.nobody, acme);
  acme = { ...acme, client: clientOf(stage.api.url, own) };
  other = { ...other, client: clientOf(stage.api.url, (await tryIn(stage.nobody, other)).token) };
  assert.equal(smtp.arrived.length, sent + 2, 'a second request within minutes mails nothing');
  const [told] = await audited(acme.client, 'SignInLinkRedeemed');
  assert.deepEqual([told.data.kind, told.actor.id], ['reset', acme.accountId]);
  assert.deepEqual(await audited(other.client, 'SignInLinkRedeemed'), []);
});

test('a newer link, a changed password and a disabled account end a link', async () => {
  const accountId = (await invite('joe@acme.example', 'Joe')).account.id;
  const first = tokenIn(smtp.arrived.at(-1)?.text);
  const send = () => acme.client.mutate('sendPasswordLink', { accountId }, 'SignInLinkPayload', linkFields);
  assert.equal((await send()).mailed, true);
  const second = tokenIn(smtp.arrived.at(-1)?.text);
  assert.equal((await redeem(first, 'the first one is over')).code, 'link-invalid');
  await acme.client.mutate('disableAccount', { accountId }, 'AccountPayload', 'account { status }');
  assert.equal((await redeem(second, 'disabled I cannot do it')).code, 'link-invalid');
  const refused = await send();
  assert.deepEqual([refused.__typename, refused.code], ['Refusal', 'account-disabled']);
  for (const token of ['', 'muster-link.', `muster-link.${'A'.repeat(43)}`, 'x'.repeat(200)])
    assert.equal((await redeem(token, 'whatever it may be 1')).code, 'link-invalid');
});

test('a mail that is refused is shown to the administrator, and told of a reset', async () => {
  smtp.refuse(true);
  const invited = await invite('ann@acme.example', 'Ann');
  assert.equal(invited.mailed, false);
  assert.ok(tokenIn(invited.link));
  await reset('other', other.email);
  const [told] = await until(
    () => audited(other.client, 'SignInLinkUndeliverable'),
    (events) => events.length > 0,
  );
  assert.deepEqual(told.data, { accountId: other.accountId, reason: 'mail-refused' });
  smtp.refuse(false);
});

test('a name that looks like a header stays a name', async () => {
  const injected = await invite('ian@acme.example', 'Ian\r\nBcc: all@evil.example');
  assert.equal(injected.code, 'invalid-input');
});

test('without a mail server links are shown, and lead to where the server listens', async () => {
  const plain = await openStage();
  try {
    const tenant = await plain.tenant('plain');
    const client = clientOf(plain.api.url, tenant.client.token, { host: 'evil.example' });
    const invited = await client.mutate(
      'inviteAccount',
      { email: 'eve@plain.example', name: 'Eve', role: 'administrator' },
      'SignInLinkPayload',
      linkFields,
    );
    assert.equal(invited.mailed, false);
    assert.ok(invited.link.startsWith(`${plain.api.url}/redeem#muster-link.`));
    await plain.nobody.mutate(
      'requestPasswordReset',
      { tenantSlug: 'plain', email: tenant.email },
      'RequestPasswordResetPayload',
      'requested',
    );
    const [told] = await until(
      () => audited(tenant.client, 'SignInLinkUndeliverable'),
      (events) => events.length > 0,
    );
    assert.equal(told.data.reason, 'no-mail-transport');
  } finally {
    await plain.stop();
  }
});
