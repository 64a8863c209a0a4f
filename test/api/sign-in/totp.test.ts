/**
 * The second factor over HTTP: set-up, signing in with codes of an authenticator app and recovery codes, what ends a
 * pending sign-in, reset by an administrator, and the tenant's requirement. The app is npm otpauth, told the secret.
 */
import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { TOTP, URI } from 'otpauth';
import { type ApiStage, type Client, enter, type Json, openStage, type TenantStage } from '../stage.ts';
import { at, audited, behindBalancer, tryIn, until } from './people.ts';

const stepMs = 30_000;
const minuteMs = 60_000;
const home = '192.0.2.1';
let stage: ApiStage;
let acme: TenantStage;
let other: TenantStage;
/** Stands still: a code is good exactly as long as a test lets it be. */
let nowMs = Math.ceil(Date.now() / stepMs) * stepMs;
let people = 0;

/** An account with its owner's authenticator app. */
interface Person extends Pick<TenantStage, 'slug' | 'email' | 'password'> {
  readonly accountId: string;
  readonly client: Client;
  readonly secret: string;
  readonly recoveryCodes: readonly string[];
}

before(async () => {
  stage = await openStage({ settings: behindBalancer, clock: () => nowMs });
  acme = await stage.tenant('acme');
  other = await stage.tenant('other');
});
after(() => stage.stop());
// Every case begins in a time step of its own, with sessions that are still alive.
beforeEach(async () => {
  nowMs += 10 * minuteMs;
  for (const tenant of [acme, other]) {
    const { token } = await tryIn(at(stage, '127.0.0.1'), tenant);
    assert.ok(token);
    if (tenant === acme) acme = { ...acme, client: at(stage, '127.0.0.1', token) };
    else other = { ...other, client: at(stage, '127.0.0.1', token) };
  }
});

/** What the app shows, `steps` time steps from now. */
const codeOf = ({ secret }: Pick<Person, 'secret'>, steps = 0): string =>
  new TOTP({ secret }).generate({ timestamp: nowMs + steps * stepMs });
/** Six digits that the app shows neither now nor around now. */
const wrongCodeOf = (person: Pick<Person, 'secret'>): string => {
  const right = [-1, 0, 1].map((steps) => codeOf(person, steps));
  return ['000000', '111111', '222222', '333333'].find((code) => !right.includes(code)) as string;
};

const begin = (client: Client, currentPassword: string): Promise<Json> =>
  client.mutate('beginTotp', { currentPassword }, 'BeginTotpPayload', 'secret uri');
const confirm = (client: Client, code: string): Promise<Json> =>
  client.mutate('confirmTotp', { code }, 'RecoveryCodesPayload', 'recoveryCodes');
const fields = 'step token clientToken expiresAt passwordDue secondFactorDue pendingToken pendingUntil';
const password = (person: Pick<Person, 'slug' | 'email' | 'password'>, address = home, more: object = {}) =>
  at(stage, address).mutate(
    'signIn',
    { tenantSlug: person.slug, email: person.email, password: person.password, ...more },
    'SignInPayload',
    fields,
  );
const withCode = (pendingToken: string, code: string, address = home, more: object = {}): Promise<Json> =>
  at(stage, address).mutate('signInWithCode', { pendingToken, code, ...more }, 'SignInPayload', fields);
const viewer = async (client: Client): Promise<Json> =>
  (await client.query('{ viewer { email secondFactor { enabled due recoveryCodesLeft } } }')).viewer;
const codeOfFault = async (client: Client, query = '{ viewer { email } }'): Promise<unknown> =>
  (await client.raw(query)).errors[0]?.extensions.code;

/** A new administrator of acme, without a second factor. */
const somebody = async (): Promise<Omit<Person, 'secret' | 'recoveryCodes'>> => {
  people += 1;
  const email = `person${people}@acme.example`;
  const created = await acme.client.mutate(
    'createAccount',
    { email, name: 'Somebody', role: 'administrator' },
    'AccountPasswordPayload',
    'oneTimePassword account { id }',
  );
  const chosen = `what nobody guesses of ${people}`;
  const client = await enter(stage.api.url, 'acme', email, created.oneTimePassword, chosen);
  return { slug: 'acme', email, password: chosen, accountId: created.account.id, client };
};

/** A new administrator of acme with a second factor, a time step after it was set up. */
const somebodyWithFactor = async (): Promise<Person> => {
  const person = await somebody();
  const { secret } = await begin(person.client, person.password);
  const { recoveryCodes } = await confirm(person.client, codeOf({ secret }));
  nowMs += 2 * stepMs;
  return { ...person, secret, recoveryCodes };
};

test('it is set up with the password and a first code, and shown once', async () => {
  const person = await somebody();
  const { client } = person;
  const early = await confirm(client, '123456');
  assert.deepEqual([early.code, early.field], ['totp-not-begun', 'code']);
  const wrong = await begin(client, 'not the password');
  assert.deepEqual([wrong.code, wrong.field], ['unauthenticated', 'currentPassword']);
  const seed = await begin(client, person.password);
  const uri = URI.parse(seed.uri) as TOTP;
  assert.deepEqual(
    [uri.issuer, uri.label, uri.secret.base32, uri.secret.buffer.byteLength, uri.digits, uri.period],
    ['Muster Tenant acme', person.email, seed.secret, 20, 6, 30],
  );
  assert.deepEqual((await viewer(client)).secondFactor, {
    enabled: false,
    due: false,
    recoveryCodesLeft: 0,
  });
  assert.equal((await password(person)).step, 'SIGNED_IN', 'nothing is on before it is confirmed');
  const refused = await confirm(client, wrongCodeOf(seed));
  assert.deepEqual([refused.code, refused.field], ['unauthenticated', 'code']);
  nowMs += 15 * minuteMs;
  assert.equal((await confirm(client, codeOf(seed))).code, 'totp-not-begun', 'it waited too long');
  const again = await begin(client, person.password);
  assert.notEqual(again.secret, seed.secret);
  assert.equal((await confirm(client, codeOf(seed))).code, 'unauthenticated', 'of the seed before');
  const elsewhere = await password(person);
  const { recoveryCodes } = await confirm(client, codeOf(again));
  assert.equal(new Set(recoveryCodes).size, 10);
  for (const code of recoveryCodes) assert.match(code, /^([0-9A-HJKMNP-TV-Z]{4}-){3}[0-9A-HJKMNP-TV-Z]{4}$/);
  assert.deepEqual((await viewer(client)).secondFactor, {
    enabled: true,
    due: false,
    recoveryCodesLeft: 10,
  });
  assert.equal(await codeOfFault(at(stage, home, elsewhere.token)), 'unauthenticated', 'opened before it');
  assert.equal((await begin(client, person.password)).code, 'second-factor-on');
  assert.equal((await confirm(client, codeOf(again, 1))).code, 'second-factor-on');
  const [told] = await audited(acme.client, 'AccountTotpEnabled');
  assert.deepEqual([told.entityId, told.actor.id, told.data], [person.accountId, person.accountId, {}]);
  assert.deepEqual(await audited(other.client, 'AccountTotpEnabled'), []);
});

test('the seed is sealed and recovery codes are digests; the log holds neither', async () => {
  const person = await somebodyWithFactor();
  const { sql, store } = stage.deps;
  const [sealed] = await sql<{ sealed: string }[]>`
    select sealed from vault.sealed_secrets where purpose = ${`totp/${person.accountId}`}`;
  assert.ok(sealed && !sealed.sealed.includes(person.secret));
  const rows = await sql<{ hash: string }[]>`
    select code_hash as hash from vault.recovery_codes where account_id = ${person.accountId}`;
  assert.ok(rows.length === 10 && rows.every(({ hash }) => /^[0-9a-f]{64}$/.test(hash)));
  const secrets = [person.secret, ...person.recoveryCodes];
  let read = 0;
  for await (const event of store.readAll({ tenantId: acme.tenantId })) {
    read += 1;
    const text = JSON.stringify(event, (_key, value) => (typeof value === 'bigint' ? `${value}` : value));
    assert.ok(!secrets.some((secret) => text.includes(secret)), text);
  }
  assert.ok(read > 10);
});

test('signing in takes the code, from the same address and program, and each code once', async () => {
  const person = await somebodyWithFactor();
  const first = await password(person);
  assert.deepEqual(
    [first.step, first.token, first.clientToken, first.expiresAt],
    ['SECOND_FACTOR', null, null, null],
  );
  assert.equal(Date.parse(first.pendingUntil), nowMs + 5 * minuteMs);
  assert.equal(await codeOfFault(at(stage, home, first.pendingToken)), 'unauthenticated', 'is no session');
  const code = codeOf(person);
  const elsewhere = await withCode(first.pendingToken, code, '198.51.100.1');
  assert.deepEqual([elsewhere.code, elsewhere.field], ['sign-in-over', 'pendingToken']);
  const program = await withCode(first.pendingToken, code, home, { clientToken: 'muster-client.other' });
  assert.equal(program.code, 'sign-in-over');
  const done = await withCode(first.pendingToken, ` ${code.slice(0, 3)} ${code.slice(3)} `);
  assert.equal(done.step, 'SIGNED_IN');
  assert.equal((await viewer(at(stage, home, done.token))).email, person.email);
  assert.equal((await withCode(first.pendingToken, codeOf(person, 1))).code, 'sign-in-over', 'used up');
  const second = await password(person, home, { clientToken: done.clientToken });
  const more = { clientToken: done.clientToken };
  const replay = await withCode(second.pendingToken, code, home, more);
  assert.deepEqual([replay.code, replay.field], ['unauthenticated', 'code'], 'the same code again');
  nowMs += stepMs;
  assert.equal((await withCode(second.pendingToken, codeOf(person), home, more)).step, 'SIGNED_IN');
  // The newest comes first, once it is projected.
  await until(
    () => audited(acme.client, 'AccountSignedIn'),
    ([latest]) => latest.data.accountId === person.accountId && latest.data.known,
  );
});

test('clocks may differ by one step, and no accepted step comes back', async () => {
  const person = await somebodyWithFactor();
  const { pendingToken } = await password(person);
  for (const steps of [-2, 2])
    assert.equal((await withCode(pendingToken, codeOf(person, steps))).field, 'code');
  assert.equal((await withCode(pendingToken, codeOf(person, -1))).step, 'SIGNED_IN');
  const next = await password(person);
  assert.equal((await withCode(next.pendingToken, codeOf(person, 1))).step, 'SIGNED_IN');
  const last = await password(person);
  assert.equal((await withCode(last.pendingToken, codeOf(person))).field, 'code', 'earlier than accepted');
});

test('of the same code sent twice at once, one is accepted', async () => {
  const person = await somebodyWithFactor();
  const pending = [await password(person), await password(person), await password(person)];
  const answers = await Promise.all(
    pending.map(({ pendingToken }) => withCode(pendingToken, codeOf(person))),
  );
  assert.equal(answers.filter(({ step }) => step === 'SIGNED_IN').length, 1, JSON.stringify(answers));
});

test('a recovery code is good once, however it is typed; new ones end those before', async () => {
  const person = await somebodyWithFactor();
  const [code = '', second = '', third = ''] = person.recoveryCodes;
  const first = await password(person);
  const done = await withCode(first.pendingToken, code.toLowerCase().replaceAll('-', ' '));
  assert.equal(done.step, 'SIGNED_IN');
  const [told] = await audited(acme.client, 'AccountRecoveryCodeUsed');
  assert.deepEqual([told.entityId, told.data], [person.accountId, { left: 9 }]);
  const again = await password(person);
  assert.equal((await withCode(again.pendingToken, code)).field, 'code');
  const client = at(stage, home, done.token);
  const renew = (typed: string) =>
    client.mutate('renewRecoveryCodes', { code: typed }, 'RecoveryCodesPayload', 'recoveryCodes');
  assert.equal((await renew(wrongCodeOf(person))).code, 'unauthenticated');
  const { recoveryCodes } = await renew(second);
  assert.equal(recoveryCodes.length, 10);
  assert.equal((await withCode(again.pendingToken, third)).field, 'code', 'of those before');
  assert.equal((await withCode(again.pendingToken, recoveryCodes[0])).step, 'SIGNED_IN');
  assert.equal((await audited(acme.client, 'AccountRecoveryCodesRenewed'))[0].entityId, person.accountId);
});

test('five wrong codes end the pending sign-in, and the next ones are slowed down', async () => {
  const person = await somebodyWithFactor();
  const { pendingToken } = await password(person);
  for (let tried = 0; tried < 5; tried += 1)
    assert.equal((await withCode(pendingToken, wrongCodeOf(person))).field, 'code', `${tried}`);
  assert.equal((await withCode(pendingToken, codeOf(person))).code, 'sign-in-over');
  const next = await password(person);
  const paused = await withCode(next.pendingToken, codeOf(person));
  assert.equal(paused.code, 'too-many-attempts', 'the password is right, the codes are still counted');
  const told = await until(
    () => audited(acme.client, 'SignInsFailed'),
    (all) => all.some(({ data }) => data.accountId === person.accountId),
  );
  assert.ok(told.length > 0);
  nowMs += minuteMs;
  assert.equal((await withCode(next.pendingToken, codeOf(person))).step, 'SIGNED_IN');
});

test('a pending sign-in ends by time, a new password, and disabling', async () => {
  const person = await somebodyWithFactor();
  const late = await password(person);
  nowMs += 5 * minuteMs;
  assert.equal((await withCode(late.pendingToken, codeOf(person))).code, 'sign-in-over');
  assert.equal((await withCode('muster-pending.nonsense', codeOf(person))).code, 'sign-in-over');
  const before = await password(person);
  const newPassword = 'something else that nobody guesses';
  const changed = await person.client.mutate(
    'changePassword',
    { currentPassword: person.password, newPassword },
    'ChangePasswordPayload',
    'token',
  );
  assert.ok(changed.token, JSON.stringify(changed));
  assert.equal((await withCode(before.pendingToken, codeOf(person))).code, 'sign-in-over');
  const pending = await password({ ...person, password: newPassword });
  const { accountId } = person;
  await acme.client.mutate('disableAccount', { accountId }, 'AccountPayload', 'pending');
  assert.equal((await withCode(pending.pendingToken, codeOf(person))).code, 'sign-in-over');
  assert.equal((await password({ ...person, password: newPassword })).code, 'account-disabled');
});

test('a one-time password does not turn it off, and both are asked for', async () => {
  const person = await somebodyWithFactor();
  const { accountId } = person;
  const issued = await acme.client.mutate(
    'resetAccountPassword',
    { accountId },
    'AccountPasswordPayload',
    'oneTimePassword',
  );
  const pending = await password({ ...person, password: issued.oneTimePassword });
  assert.equal(pending.step, 'SECOND_FACTOR');
  const done = await withCode(pending.pendingToken, codeOf(person));
  assert.deepEqual([done.step, done.passwordDue], ['SIGNED_IN', 'ISSUED']);
  const refused = await begin(at(stage, home, done.token), issued.oneTimePassword);
  assert.equal(refused.code, 'password-change-required');
});

test('its owner turns it off with password and code', async () => {
  const person = await somebodyWithFactor();
  const off = (currentPassword: string, code: string) =>
    person.client.mutate('disableTotp', { currentPassword, code }, 'DisableTotpPayload', 'pending');
  assert.equal((await off('not the password', codeOf(person))).field, 'currentPassword');
  assert.equal((await off(person.password, wrongCodeOf(person))).field, 'code');
  const elsewhere = await password(person);
  const { token } = await withCode(elsewhere.pendingToken, codeOf(person));
  const done = await off(person.password, person.recoveryCodes[0] as string);
  assert.equal(done.__typename, 'DisableTotpPayload', JSON.stringify(done));
  assert.equal(await codeOfFault(at(stage, home, token)), 'unauthenticated', 'its other sessions end');
  assert.equal((await viewer(person.client)).secondFactor.enabled, false);
  assert.equal((await off(person.password, codeOf(person, 1))).code, 'second-factor-off');
  assert.equal((await password(person)).step, 'SIGNED_IN');
  const [left] = await stage.deps.sql<{ rows: number }[]>`
    select (select count(*) from vault.recovery_codes where account_id = ${person.accountId})::int
      + (select count(*) from vault.sealed_secrets where purpose like ${`totp%/${person.accountId}`})::int as rows`;
  assert.equal(left?.rows, 0);
  assert.equal((await audited(acme.client, 'AccountTotpDisabled'))[0].entityId, person.accountId);
});

test('an administrator resets it for others of the own tenant who may do no more', async () => {
  const person = await somebodyWithFactor();
  const { accountId } = person;
  const reset = (client: Client, id = accountId) =>
    client.mutate(
      'resetSecondFactor',
      { accountId: id },
      'ResetSecondFactorPayload',
      'pending account { id }',
    );
  assert.equal((await reset(other.client)).code, 'account-missing');
  const own = await reset(person.client);
  assert.deepEqual([own.code, own.field], ['invalid-input', 'accountId']);
  assert.equal((await password(person)).step, 'SECOND_FACTOR');
  const pending = await password(person);
  const done = await reset(acme.client);
  assert.equal(done.account?.id, accountId, JSON.stringify(done));
  assert.equal(await codeOfFault(person.client), 'unauthenticated', 'its sessions end');
  assert.equal((await withCode(pending.pendingToken, codeOf(person))).code, 'sign-in-over');
  assert.equal((await password(person)).step, 'SIGNED_IN');
  const [told] = await audited(acme.client, 'AccountSecondFactorReset');
  assert.deepEqual([told.entityId, told.actor.id], [accountId, acme.accountId]);
});

test('a tenant that asks for it allows nothing before it is set up', async () => {
  const person = await somebody();
  const require = (client: Client, required: boolean) =>
    client.mutate(
      'requireSecondFactor',
      { required },
      'SignInSettingsPayload',
      'signInSettings { secondFactorRequired }',
    );
  const prepared = await somebodyWithFactor();
  const pending = await password(prepared);
  const { token } = await withCode(pending.pendingToken, codeOf(prepared));
  const ready = at(stage, home, token);
  assert.equal((await require(ready, true)).signInSettings.secondFactorRequired, true);
  nowMs += minuteMs;
  const { client } = person;
  const devices = '{ devices(first: 1) { nodes { id } } }';
  assert.equal(await codeOfFault(client, devices), 'second-factor-required', 'open sessions too');
  assert.equal((await require(client, false)).code, 'second-factor-required');
  assert.equal(await codeOfFault(ready, devices), undefined);
  assert.equal(await codeOfFault(other.client, devices), undefined, 'another tenant');
  const fresh = await password(person);
  assert.deepEqual([fresh.step, fresh.secondFactorDue], ['SIGNED_IN', true]);
  assert.deepEqual((await viewer(client)).secondFactor, { enabled: false, due: true, recoveryCodesLeft: 0 });
  const feed = await fetch(`${stage.api.url}/events/v1/feed`, {
    headers: { authorization: `Bearer ${client.token}` },
  });
  assert.equal(((await feed.json()) as Json).type, '/errors#second-factor-required');
  const { secret } = await begin(client, person.password);
  await confirm(client, codeOf({ secret }));
  nowMs += minuteMs;
  assert.equal(await codeOfFault(client, devices), undefined);
  assert.equal((await require(client, false)).signInSettings.secondFactorRequired, false);
});

test('in cookie mode the browser keeps the session, and other sites’ pages get none', async () => {
  const person = await somebodyWithFactor();
  const post = async (name: string, input: object, headers: Record<string, string>) => {
    const inputType = `${name.charAt(0).toUpperCase()}${name.slice(1)}Input`;
    const response = await fetch(`${stage.api.url}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify({
        query: `mutation($input: ${inputType}!) { ${name}(input: $input) { ... on SignInPayload { ${fields} } ... on Error { code } } }`,
        variables: { input },
      }),
    });
    return { cookies: response.headers.getSetCookie(), answer: ((await response.json()) as Json).data[name] };
  };
  const ours = { 'x-muster-request': '1', 'sec-fetch-site': 'same-origin' };
  const typed = { tenantSlug: 'acme', email: person.email, password: person.password, cookie: true };
  const begun = await post('signIn', typed, ours);
  assert.deepEqual([begun.answer.step, begun.cookies], ['SECOND_FACTOR', []]);
  const { pendingToken } = begun.answer;
  const input = { pendingToken, code: codeOf(person), cookie: true };
  assert.equal((await post('signInWithCode', input, {})).answer.code, 'cross-site-request');
  const done = await post('signInWithCode', input, ours);
  assert.deepEqual([done.answer.step, done.answer.token], ['SIGNED_IN', null]);
  assert.ok(done.cookies.some((cookie) => cookie.startsWith('__Host-muster-session=muster-session.')));
});
