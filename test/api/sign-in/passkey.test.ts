/**
 * Passkeys over HTTP, with an authenticator in software: registration, signing in with one alone and after the
 * password, and everything that must be refused.
 */
import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { type Authenticator, type Odd, openAuthenticator } from '../../support/authenticator.ts';
import { type ApiStage, type Client, enter, type Json, openStage, type TenantStage } from '../stage.ts';
import { at, audited, behindBalancer, tryIn, until } from './people.ts';

const publicUrl = 'https://muster.example';
const home = '192.0.2.1';
const minuteMs = 60_000;
let stage: ApiStage;
let acme: TenantStage;
let other: TenantStage;
/** Will ask for a second factor. */
let strict: TenantStage;
let nowMs = Date.now();
let people = 0;

interface Person extends Pick<TenantStage, 'slug' | 'email' | 'password'> {
  readonly accountId: string;
  readonly client: Client;
}

before(async () => {
  stage = await openStage({ settings: { ...behindBalancer, publicUrl }, clock: () => nowMs });
  acme = await stage.tenant('acme');
  other = await stage.tenant('other');
  strict = await stage.tenant('strict');
});
after(() => stage.stop());
beforeEach(async () => {
  nowMs += 10 * minuteMs;
  const { token } = await tryIn(at(stage, '127.0.0.1'), acme);
  acme = { ...acme, client: at(stage, '127.0.0.1', token) };
});

const somebody = async ({ client: admin, slug }: TenantStage = acme): Promise<Person> => {
  people += 1;
  const email = `person${people}@${slug}.example`;
  const created = await admin.mutate(
    'createAccount',
    { email, name: 'Somebody', role: 'administrator' },
    'AccountPasswordPayload',
    'oneTimePassword account { id }',
  );
  const password = `what nobody guesses of ${people}`;
  const client = await enter(stage.api.url, slug, email, created.oneTimePassword, password);
  return { slug, email, password, accountId: created.account.id, client };
};

const begin = ({ client, password }: Person): Promise<Json> =>
  client.mutate('beginPasskey', { currentPassword: password }, 'PasskeyOptionsPayload', 'options');
const confirm = ({ client }: Person, response: object, name = 'Laptop'): Promise<Json> =>
  client.mutate('confirmPasskey', { name, response }, 'PasskeyAddedPayload', 'passkeyId recoveryCodes');
/** Registers an authenticator. */
const register = async (person: Person, authenticator = openAuthenticator(publicUrl)) => {
  const { options } = await begin(person);
  const added = await confirm(person, authenticator.create(options));
  assert.ok(added.passkeyId, JSON.stringify(added));
  return { authenticator, ...(added as { passkeyId: string; recoveryCodes: string[] | null }) };
};
const somebodyWithPasskey = async (algorithm: 'ES256' | 'EdDSA' = 'ES256') => {
  const person = await somebody();
  return { person, ...(await register(person, openAuthenticator(publicUrl, algorithm))) };
};

const fields = 'step token clientToken secondFactors secondFactorDue pendingToken';
const ask = (caller: object, address = home): Promise<Json> =>
  at(stage, address).mutate('beginPasskeySignIn', caller, 'PasskeyOptionsPayload', 'options');
const answer = (caller: object, response: object, address = home): Promise<Json> =>
  at(stage, address).mutate('signInWithPasskey', { ...caller, response }, 'SignInPayload', fields);
/** The whole of signing in with a passkey alone, or after the password. */
const signIn = async (
  authenticator: Authenticator,
  caller: object = { tenantSlug: 'acme' },
  odd: Odd = {},
): Promise<Json> => answer(caller, authenticator.get((await ask(caller)).options, odd));
const byPassword = (person: Person): Promise<Json> =>
  at(stage, home).mutate(
    'signIn',
    { tenantSlug: person.slug, email: person.email, password: person.password },
    'SignInPayload',
    fields,
  );
const passkeysOf = async ({ client }: Pick<Person, 'client'>): Promise<Json[]> =>
  (await client.query('{ viewer { passkeys { id name backedUp lastUsedAt } } }')).viewer.passkeys;
const emailOf = async (token: string): Promise<string> =>
  (await at(stage, home, token).query('{ viewer { email } }')).viewer.email;

test('a passkey is registered with the password; the first comes with recovery codes, and is told of', async () => {
  const person = await somebody();
  const wrong = await begin({ ...person, password: 'not the password' });
  assert.deepEqual([wrong.code, wrong.field], ['unauthenticated', 'currentPassword']);
  const { options } = await begin(person);
  assert.deepEqual([options.rp.id, options.user.name], ['muster.example', person.email]);
  const elsewhere = await byPassword(person);
  const { passkeyId, recoveryCodes } = await confirm(person, openAuthenticator(publicUrl).create(options));
  assert.equal(recoveryCodes.length, 10);
  assert.deepEqual(await passkeysOf(person), [
    { id: passkeyId, name: 'Laptop', backedUp: false, lastUsedAt: null },
  ]);
  const old = await at(stage, home, elsewhere.token).raw('{ viewer { email } }');
  assert.equal(old.errors[0]?.extensions.code, 'unauthenticated', 'opened before it');
  assert.equal((await register(person)).recoveryCodes, null, 'there are some already');
  const { node } = await acme.client.query(
    `{ node(id: "${person.accountId}") { ... on Account { secondFactors } } }`,
  );
  assert.deepEqual(node.secondFactors, ['PASSKEY']);
  const told = await audited(acme.client, 'AccountPasskeyAdded');
  assert.equal(told[1].data.passkeyId, passkeyId);
  assert.deepEqual(await audited(other.client, 'AccountPasskeyAdded'), []);
});

test('alone it signs in to its tenant, with either kind of key, and not to another', async () => {
  for (const algorithm of ['ES256', 'EdDSA'] as const) {
    const { person, authenticator } = await somebodyWithPasskey(algorithm);
    const done = await signIn(authenticator);
    assert.equal(done.step, 'SIGNED_IN', JSON.stringify(done));
    assert.equal(await emailOf(done.token), person.email);
    assert.ok((await passkeysOf(person))[0].lastUsedAt);
    for (const tenantSlug of ['other', 'nowhere', ''])
      assert.equal((await signIn(authenticator, { tenantSlug })).code, 'unauthenticated', tenantSlug);
  }
});

test('after the password it is the second factor, as recovery codes are; of the own account alone', async () => {
  const { person, authenticator, recoveryCodes } = await somebodyWithPasskey();
  const stranger = await somebodyWithPasskey();
  const first = await byPassword(person);
  assert.deepEqual([first.step, first.token, first.secondFactors], ['SECOND_FACTOR', null, ['PASSKEY']]);
  const caller = { pendingToken: first.pendingToken };
  const { options } = await ask(caller);
  assert.deepEqual(
    options.allowCredentials.map(({ id }: Json) => id),
    [authenticator.id],
  );
  assert.equal((await ask(caller, '198.51.100.1')).code, 'sign-in-over', 'from another address');
  assert.equal((await answer(caller, stranger.authenticator.get(options))).code, 'unauthenticated');
  const done = await signIn(authenticator, caller, { userVerified: false });
  assert.equal(done.step, 'SIGNED_IN', JSON.stringify(done));
  assert.equal((await ask(caller)).code, 'sign-in-over', 'it has been used');
  const again = await byPassword(person);
  const code = recoveryCodes?.[0];
  const recovered = await at(stage, home).mutate(
    'signInWithCode',
    { pendingToken: again.pendingToken, code },
    'SignInPayload',
    fields,
  );
  assert.equal(recovered.step, 'SIGNED_IN');
});

test('answers to another origin, party, challenge or time are refused, and so is one without verification', async () => {
  const { authenticator } = await somebodyWithPasskey();
  const caller = { tenantSlug: 'acme' };
  const odds: readonly (readonly [string, Odd])[] = [
    ['origin', { origin: 'https://muster.example.evil.example' }],
    ['party', { rpId: 'evil.example' }],
    ['challenge', { challenge: Buffer.alloc(32).toString('base64url') }],
    ['no verification', { userVerified: false }],
  ];
  for (const [what, odd] of odds) {
    const refused = await signIn(authenticator, caller, odd);
    assert.deepEqual([refused.code, refused.field], ['unauthenticated', 'response'], what);
  }
  const { options } = await ask(caller);
  const used = authenticator.get(options);
  assert.equal((await answer(caller, used)).step, 'SIGNED_IN');
  assert.equal((await answer(caller, used)).code, 'unauthenticated', 'the same answer again');
  const late = (await ask(caller)).options;
  nowMs += 5 * minuteMs + 1;
  assert.equal((await answer(caller, authenticator.get(late))).code, 'unauthenticated', 'too late');
  const crossed = (await ask({ tenantSlug: 'other' })).options;
  assert.equal((await answer(caller, authenticator.get(crossed))).code, 'unauthenticated', 'asked elsewhere');
  const strange = await answer(caller, openAuthenticator(publicUrl).get((await ask(caller)).options));
  assert.equal(strange.code, 'unauthenticated', 'a credential that nobody registered');
  assert.equal((await answer(caller, { id: 'x' })).code, 'invalid-input');
});

test('a passkey whose counter goes back is refused, and told of', async () => {
  const { authenticator, passkeyId } = await somebodyWithPasskey();
  assert.equal((await signIn(authenticator, undefined, { counter: 7 })).step, 'SIGNED_IN');
  assert.equal((await signIn(authenticator, undefined, { counter: 7 })).code, 'unauthenticated');
  const told = await until(
    () => audited(acme.client, 'AccountPasskeySuspected'),
    (found) => found.length > 0,
  );
  assert.deepEqual(
    told.map(({ data }) => data.passkeyId),
    [passkeyId],
  );
  assert.equal((await signIn(authenticator, undefined, { counter: 8 })).step, 'SIGNED_IN');
});

test('it is renamed and removed by its owner; removed or reset it opens nothing', async () => {
  const { person, authenticator, passkeyId } = await somebodyWithPasskey();
  const stranger = await somebody();
  const rename = (who: Person, name: string) =>
    who.client.mutate('renamePasskey', { passkeyId, name }, 'PasskeyPayload', 'pending');
  assert.equal((await rename(stranger, 'Mine')).code, 'passkey-missing');
  assert.equal((await rename(person, 'Key ring')).pending, false);
  assert.equal((await passkeysOf(person))[0].name, 'Key ring');
  const remove = (who: Person, currentPassword: string) =>
    who.client.mutate('removePasskey', { passkeyId, currentPassword }, 'PasskeyPayload', 'pending');
  assert.equal((await remove(stranger, stranger.password)).code, 'passkey-missing');
  assert.equal((await remove(person, 'wrong')).code, 'unauthenticated');
  assert.equal((await remove(person, person.password)).pending, false);
  assert.equal((await signIn(authenticator)).code, 'unauthenticated');
  assert.equal((await byPassword(person)).step, 'SIGNED_IN', 'the password is enough again');
  const kept = await somebodyWithPasskey();
  const reset = await acme.client.mutate(
    'resetSecondFactor',
    { accountId: kept.person.accountId },
    'ResetSecondFactorPayload',
    'pending',
  );
  assert.equal(reset.pending, false);
  assert.equal((await signIn(kept.authenticator)).code, 'unauthenticated');
});

test('it satisfies a tenant that asks for a second factor; a disabled account stays out', async () => {
  const { token } = await tryIn(at(stage, '127.0.0.1'), strict);
  strict = { ...strict, client: at(stage, '127.0.0.1', token) };
  const { authenticator } = await register(strict);
  const caller = { tenantSlug: strict.slug };
  const required = await strict.client.mutate(
    'requireSecondFactor',
    { required: true },
    'SignInSettingsPayload',
    'pending',
  );
  assert.equal(required.pending, false, JSON.stringify(required));
  const bare = await somebody(strict);
  assert.equal((await byPassword(bare)).secondFactorDue, true);
  const mine = await register(bare);
  const done = await signIn(mine.authenticator, caller);
  assert.deepEqual([done.step, done.secondFactorDue], ['SIGNED_IN', false]);
  const { accountId } = bare;
  const disabled = await at(stage, home, (await signIn(authenticator, caller)).token).mutate(
    'disableAccount',
    { accountId },
    'AccountPayload',
    'pending',
  );
  assert.equal(disabled.pending, false, JSON.stringify(disabled));
  assert.equal((await signIn(mine.authenticator, caller)).code, 'account-disabled');
});

test('twenty are enough, and one authenticator counts once', async () => {
  const person = await somebody();
  const { authenticator } = await register(person);
  const { options } = await begin(person);
  assert.deepEqual(
    options.excludeCredentials.map(({ id }: Json) => id),
    [authenticator.id],
  );
  assert.equal((await confirm(person, authenticator.create(options))).code, 'unauthenticated');
  for (let n = 1; n < 20; n += 1) await register(person);
  assert.equal((await begin(person)).code, 'too-many-passkeys');
});
