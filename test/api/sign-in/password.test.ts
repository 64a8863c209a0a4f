/**
 * The tenant's password policy, wherever somebody chooses a password: length, classes, lists, history, expiry.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { openBreachedPasswords, openCommonPasswords } from '../../../api/sign-in/known-passwords.ts';
import { type ApiStage, type Client, clientOf, type Json, openStage, type TenantStage } from '../stage.ts';
import { tryIn } from './people.ts';

const breachedPasswordsDir = mkdtempSync(join(tmpdir(), 'muster-breached-'));
const breached = 'known from one breach';
let stage: ApiStage;
let acme: TenantStage;
let other: TenantStage;
let aheadMs = 0;

before(async () => {
  const digest = createHash('sha1').update(breached).digest('hex').toUpperCase();
  const rows = [`${'0'.repeat(35)}:3`, `${digest.slice(5)}:42`];
  writeFileSync(join(breachedPasswordsDir, `${digest.slice(0, 5)}.txt`), rows.join('\r\n'));
  stage = await openStage({ settings: { breachedPasswordsDir }, clock: () => Date.now() + aheadMs });
  acme = await stage.tenant('acme');
  other = await stage.tenant('other');
});
after(async () => {
  await stage.stop();
  rmSync(breachedPasswordsDir, { recursive: true, force: true });
});

const setPolicy = (client: Client, policy: object): Promise<Json> =>
  client.mutate(
    'setPasswordPolicy',
    policy,
    'SignInSettingsPayload',
    'signInSettings { passwordPolicy { minimumLength classes refuseCommon refuseBreached history expiryDays } }',
  );

/** Changes the tenant's password and goes on with the new token; the answer when it is refused. */
const change = async (tenant: TenantStage, newPassword: string): Promise<[TenantStage, Json]> => {
  const changed = await tenant.client.mutate(
    'changePassword',
    { currentPassword: tenant.password, newPassword },
    'ChangePasswordPayload',
    'token',
  );
  if (!changed.token) return [tenant, changed];
  const client = clientOf(stage.api.url, changed.token);
  return [{ ...tenant, password: newPassword, client }, changed];
};
const refusedOf = async (tenant: TenantStage, newPassword: string): Promise<string> => {
  const [, answer] = await change(tenant, newPassword);
  assert.deepEqual(
    [answer.__typename, answer.code, answer.field],
    ['Refusal', 'password-refused', 'newPassword'],
  );
  return answer.message;
};

test('defaults: twelve characters, nothing common, and not the name of the owner', async () => {
  assert.match(await refusedOf(acme, 'eleven char'), /at least 12/);
  assert.match(await refusedOf(acme, 'Password123456'), /common/);
  assert.match(await refusedOf(acme, 'admin@acme.example1'), /name or e-mail/);
  assert.match(await refusedOf(acme, acme.password), /used before/);
});

test('a policy says more, of its own tenant alone; wrong ones name the field', async () => {
  for (const [policy, field] of [
    [{ minimumLength: 7 }, 'minimumLength'],
    [{ classes: 5 }, 'classes'],
    [{ history: 25 }, 'history'],
    [{ expiryDays: 0 }, 'expiryDays'],
  ] as const) {
    const wrong = await setPolicy(acme.client, policy);
    assert.deepEqual([wrong.code, wrong.field], ['invalid-input', field]);
  }
  const policy = { minimumLength: 16, classes: 3, refuseBreached: true, history: 3 };
  const set = await setPolicy(acme.client, policy);
  const expected = { ...policy, refuseCommon: true, expiryDays: null };
  assert.deepEqual(set.signInSettings.passwordPolicy, expected);
  assert.match(await refusedOf(acme, 'Fifteen chars!!'), /at least 16/);
  assert.match(await refusedOf(acme, 'only lower case letters'), /at least 3 of/);
  await setPolicy(acme.client, { ...policy, classes: 0 });
  assert.match(await refusedOf(acme, breached), /breach/);
  const [changed] = await change(other, 'thirteen char');
  other = changed;
  assert.equal(other.password, 'thirteen char');
});

test('earlier passwords come back only after the history', async () => {
  await setPolicy(acme.client, { history: 3 });
  const [first, second, third] = [acme.password, 'the second password', 'the third password'];
  for (const next of [second, third]) [acme] = await change(acme, next);
  for (const used of [first, second, third]) assert.match(await refusedOf(acme, used), /used before/);
  [acme] = await change(acme, 'the fourth password');
  [acme] = await change(acme, first);
  assert.equal(acme.password, first);
});

test('an expired password must be changed, at sign-in and in open sessions', async () => {
  await setPolicy(acme.client, { expiryDays: 30 });
  aheadMs += 31 * 86_400_000;
  const entered = await tryIn(stage.nobody, acme);
  assert.deepEqual(
    [entered.step, entered.mustChangePassword, entered.passwordDue],
    ['SIGNED_IN', true, 'EXPIRED'],
  );
  const client = clientOf(stage.api.url, entered.token);
  const { viewer } = await client.query('{ viewer { mustChangePassword passwordDue } }');
  assert.deepEqual(viewer, { mustChangePassword: true, passwordDue: 'EXPIRED' });
  const refused = await client.raw('{ devices { nodes { id } } }');
  assert.equal(refused.errors[0]?.extensions.code, 'password-change-required');
  acme = { ...acme, client };
  [acme] = await change(acme, 'fresh again for a month');
  assert.deepEqual((await acme.client.query('{ devices { nodes { id } } }')).devices.nodes, []);
  assert.equal((await tryIn(stage.nobody, other)).passwordDue, null);
});

test('a list of breached passwords must be there to be asked for', async () => {
  const plain = await openStage();
  try {
    const { client } = await plain.tenant('plain');
    const refused = await setPolicy(client, { refuseBreached: true });
    assert.deepEqual([refused.code, refused.field], ['breached-list-missing', 'refuseBreached']);
  } finally {
    await plain.stop();
  }
});

test('lists: common passwords offline, breached ones by range file', async () => {
  const common = openCommonPasswords();
  for (const word of ['password', 'Qwertyuiop123!', '1q2w3e4r5t6y', 'dragondragon'])
    assert.ok(await common.has(word), word);
  for (const word of ['correct horse battery staple', 'Xk29-vodiz-queral'])
    assert.ok(!(await common.has(word)), word);
  const list = openBreachedPasswords(breachedPasswordsDir);
  assert.ok(await list.has(breached));
  assert.ok(!(await list.has('in no breach at all')));
});
