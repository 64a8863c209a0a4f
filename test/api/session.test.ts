/**
 * Signing in and out, one-time passwords, throttling, and what ends a session.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type ApiStage, clientOf, openStage, signIn, type TenantStage } from './stage.ts';

let stage: ApiStage;
let acme: TenantStage;
let other: TenantStage;
let aheadMs = 0;
/** While it is there the clock stands still. */
let stoppedAt: number | undefined;

before(async () => {
  stage = await openStage({ clock: () => (stoppedAt ?? Date.now()) + aheadMs });
  acme = await stage.tenant('acme');
  other = await stage.tenant('other');
});
after(() => stage.stop());

const minuteMs = 60_000;
const viewer = '{ viewer { email } }';
const isOver = async (token: string) =>
  (await clientOf(stage.api.url, token).raw(viewer)).errors[0]?.extensions.code === 'unauthenticated';
const enter = async (tenant: TenantStage) => {
  const { token } = await signIn(stage.nobody, tenant.slug, tenant.email, tenant.password);
  assert.match(token, /^muster-session\.[\w-]{43}$/);
  return clientOf(stage.api.url, token);
};

test('the signed-in account sees itself and its tenant', async () => {
  const { viewer } = await acme.client.query(
    '{ viewer { accountId email role { id } mustChangePassword tenantId tenantSlug } }',
  );
  assert.deepEqual(viewer, {
    accountId: acme.accountId,
    email: acme.email,
    role: { id: 'administrator' },
    mustChangePassword: false,
    tenantId: acme.tenantId,
    tenantSlug: 'acme',
  });
});

test('tenant and e-mail are taken in any case, with spaces around', async () => {
  const { token } = await signIn(stage.nobody, ' Acme ', ` ${acme.email.toUpperCase()} `, acme.password);
  assert.ok(token);
});

test('whatever is wrong, sign-in says the same', async () => {
  const wrong = await Promise.all([
    signIn(stage.nobody, 'acme', acme.email, 'not the password'),
    signIn(stage.nobody, 'acme', 'nobody@acme.example', acme.password),
    signIn(stage.nobody, 'nowhere', acme.email, acme.password),
    signIn(stage.nobody, 'other', acme.email, acme.password),
    signIn(stage.nobody, '\u0000{}', '\ud800', acme.password),
    signIn(stage.nobody, 'acme', acme.email, ''),
  ]);
  for (const answer of wrong) {
    assert.equal(answer.__typename, 'Fault');
    assert.equal(answer.code, 'unauthenticated');
    assert.deepEqual(answer, wrong[0]);
  }
});

test('failed attempts are slowed down for that account and address, never for good', async () => {
  const attempt = (password: string) => signIn(stage.nobody, 'other', other.email, password);
  for (let failures = 0; failures < 5; failures += 1)
    assert.equal((await attempt('not the password')).code, 'unauthenticated');
  const slowed = await attempt(other.password);
  assert.equal(slowed.code, 'too-many-attempts');
  assert.match(slowed.message, /in 1 seconds/);
  assert.ok((await enter(acme)).token, 'other accounts are not concerned');
  aheadMs += 2000;
  assert.equal((await attempt('not the password')).code, 'unauthenticated');
  assert.match((await attempt(other.password)).message, /in 2 seconds/);
  aheadMs += 16 * minuteMs;
  assert.ok((await attempt(other.password)).token);
  assert.equal((await attempt('not the password')).code, 'unauthenticated', 'success starts anew');
});

test('attempts at the same time count one by one', async () => {
  const tenant = await stage.tenant('burst');
  stoppedAt = Date.now();
  const answers = await Promise.all(
    Array.from({ length: 12 }, () => signIn(stage.nobody, 'burst', tenant.email, 'not the password')),
  );
  stoppedAt = undefined;
  const codes = answers.map(({ code }) => code).sort();
  assert.equal(codes.filter((code) => code === 'unauthenticated').length, 5);
  assert.equal(codes.filter((code) => code === 'too-many-attempts').length, 7);
});

test('signing out ends this session, or everywhere', async () => {
  const [one, two, three] = [await enter(acme), await enter(acme), await enter(acme)];
  assert.equal((await one.mutate('signOut', {}, 'SignOutPayload', 'signedOut')).signedOut, true);
  assert.ok(await isOver(one.token as string));
  assert.ok(!(await isOver(two.token as string)));
  const everywhere = await two.mutate('signOut', { everywhere: true }, 'SignOutPayload', 'signedOut');
  assert.equal(everywhere.signedOut, true);
  assert.ok(await isOver(three.token as string));
  acme = { ...acme, client: await enter(acme) };
});

test('a session ends when idle, and after twelve hours however busy', async () => {
  const idle = await enter(acme);
  aheadMs += 59 * minuteMs;
  assert.ok(!(await isOver(idle.token as string)));
  aheadMs += 59 * minuteMs;
  assert.ok(!(await isOver(idle.token as string)), 'the use before counts');
  aheadMs += 61 * minuteMs;
  assert.ok(await isOver(idle.token as string));
  const busy = await enter(acme);
  for (let used = 0; used < 14; used += 1) {
    aheadMs += 50 * minuteMs;
    assert.ok(!(await isOver(busy.token as string)), `still good after ${50 * (used + 1)} minutes`);
  }
  aheadMs += 21 * minuteMs;
  assert.ok(await isOver(busy.token as string));
  acme = { ...acme, client: await enter(acme) };
});

test('a changed password ends other sessions and must differ', async () => {
  const elsewhere = await enter(acme);
  const change = (currentPassword: string, newPassword: string) =>
    acme.client.mutate(
      'changePassword',
      { currentPassword, newPassword },
      'ChangePasswordPayload',
      'pending token',
    );
  const wrong = await change('not the password', 'another long password');
  assert.deepEqual([wrong.code, wrong.field], ['unauthenticated', 'currentPassword']);
  const same = await change(acme.password, acme.password);
  assert.deepEqual([same.code, same.field], ['password-refused', 'newPassword']);
  const short = await change(acme.password, 'short');
  assert.deepEqual([short.code, short.field], ['invalid-input', 'newPassword']);
  const changed = await change(acme.password, 'another long password');
  assert.equal(changed.pending, false);
  acme = { ...acme, password: 'another long password', client: clientOf(stage.api.url, changed.token) };
  assert.ok(await isOver(elsewhere.token as string));
  assert.ok(!(await isOver(acme.client.token as string)));
});

test('an account with a one-time password may change it, see itself and sign out, nothing else', async () => {
  const created = await acme.client.mutate(
    'createAccount',
    { email: 'Eve@Acme.example', name: 'Eve', role: 'administrator' },
    'AccountPasswordPayload',
    'oneTimePassword account { id email mustChangePassword role { id } status }',
  );
  assert.deepEqual(
    { ...created.account, id: '' },
    {
      id: '',
      email: 'eve@acme.example',
      mustChangePassword: true,
      role: { id: 'administrator' },
      status: 'ENABLED',
    },
  );
  const session = await signIn(stage.nobody, 'acme', 'eve@acme.example', created.oneTimePassword);
  assert.equal(session.mustChangePassword, true);
  const eve = clientOf(stage.api.url, session.token);
  assert.equal((await eve.query(viewer)).viewer.email, 'eve@acme.example');
  const devices = await eve.raw('{ devices { nodes { id } } }');
  assert.equal(devices.errors[0]?.extensions.code, 'password-change-required');
  const group = await eve.mutate('createGroup', { name: '' }, 'DeviceGroupPayload', 'pending');
  assert.deepEqual([group.__typename, group.code], ['Fault', 'password-change-required']);
});

test('disabling an account ends its sessions; enabling lets it in again', async () => {
  const created = await acme.client.mutate(
    'createAccount',
    { email: 'bob@acme.example', name: 'Bob', role: 'administrator' },
    'AccountPasswordPayload',
    'oneTimePassword account { id }',
  );
  const enterBob = () => signIn(stage.nobody, 'acme', 'bob@acme.example', created.oneTimePassword);
  const { token } = await enterBob();
  const accountId = created.account.id;
  const disabled = await acme.client.mutate(
    'disableAccount',
    { accountId },
    'AccountPayload',
    'account { status }',
  );
  assert.equal(disabled.account.status, 'DISABLED');
  assert.ok(await isOver(token));
  const refused = await enterBob();
  assert.deepEqual([refused.__typename, refused.code], ['Refusal', 'account-disabled']);
  await acme.client.mutate('enableAccount', { accountId }, 'AccountPayload', 'account { status }');
  assert.ok((await enterBob()).token);
  const reset = await acme.client.mutate(
    'resetAccountPassword',
    { accountId },
    'AccountPasswordPayload',
    'oneTimePassword',
  );
  assert.equal((await enterBob()).code, 'unauthenticated', 'the earlier password is gone');
  assert.ok((await signIn(stage.nobody, 'acme', 'bob@acme.example', reset.oneTimePassword)).token);
  const itself = await acme.client.mutate(
    'disableAccount',
    { accountId: acme.accountId },
    'AccountPayload',
    'account { status }',
  );
  assert.deepEqual([itself.code, itself.field], ['invalid-input', 'accountId']);
});

test('an e-mail is unique in a tenant, not beyond', async () => {
  const create = (tenant: TenantStage, email: string) =>
    tenant.client.mutate(
      'createAccount',
      { email, name: 'Twin', role: 'administrator' },
      'AccountPasswordPayload',
      'account { id }',
    );
  const taken = await create(acme, acme.email);
  assert.deepEqual([taken.__typename, taken.code, taken.field], ['Refusal', 'name-taken', 'email']);
  other = { ...other, client: await enter(other) };
  assert.ok((await create(other, acme.email)).account.id);
});

test('a suspended tenant is shut, and open again when reactivated', async () => {
  const client = await enter(other);
  const { tenantId } = other;
  const operator = clientOf(stage.api.url, await operatorToken());
  const suspended = await operator.mutate(
    'suspendTenant',
    { tenantId, reason: 'unpaid' },
    'TenantPayload',
    'tenant { status }',
  );
  assert.equal(suspended.tenant.status, 'SUSPENDED');
  assert.ok(await isOver(client.token as string));
  const refused = await signIn(stage.nobody, other.slug, other.email, other.password);
  assert.deepEqual([refused.__typename, refused.code], ['Refusal', 'tenant-suspended']);
  await operator.mutate('reactivateTenant', { tenantId }, 'TenantPayload', 'tenant { status }');
  assert.ok((await enter(other)).token);
});

/** The operator's first session has long expired by now. */
const operatorToken = async (): Promise<string> => {
  const { token } = await signIn(
    stage.nobody,
    'operator',
    'operator@muster.local',
    'correct horse battery staple',
  );
  return token;
};

test('what is no session token is nobody', async () => {
  for (const token of ['x', 'muster-session.', `muster-session.${'A'.repeat(43)}`, 'a'.repeat(5000), '..'])
    assert.ok(await isOver(token), token);
});
