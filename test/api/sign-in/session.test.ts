/**
 * Sessions: listed, ended one by one, limited by the tenant's policy and addresses, rotated; and the browser's cookie.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { openCredentials } from '../../../api/credentials.ts';
import { identifyAccount } from '../../../api/identify/account.ts';
import { type ApiStage, type Client, clientOf, type Json, openStage, type TenantStage } from '../stage.ts';
import { at, audited, behindBalancer, tryIn } from './people.ts';

const publicUrl = 'https://muster.example.org';
let stage: ApiStage;
let acme: TenantStage;
let other: TenantStage;
let aheadMs = 0;

before(async () => {
  stage = await openStage({
    settings: { ...behindBalancer, publicUrl },
    clock: () => Date.now() + aheadMs,
  });
  acme = await stage.tenant('acme');
  other = await stage.tenant('other');
});
after(() => stage.stop());

const minuteMs = 60_000;
const sessionFields = 'sessionId portal address userAgent createdAt usedAt expiresAt current';
const sessionsOf = async (client: Client): Promise<Json[]> =>
  (await client.query(`{ sessions { ${sessionFields} } }`)).sessions;
/** What keeps a caller out: the code of a GraphQL error, the status of a problem, or nothing. */
const codeOf = async (client: Client): Promise<unknown> => {
  const { status, errors } = await client.raw('{ viewer { email } }');
  return errors[0]?.extensions.code ?? (status === 200 ? undefined : status);
};
const enter = async (tenant: TenantStage, address = '127.0.0.1') => {
  const { token } = await tryIn(at(stage, address), tenant);
  return at(stage, address, token);
};
const end = (client: Client, name: string, input: object) =>
  client.mutate(name, input, 'EndSessionsPayload', 'ended');

test('own sessions are listed with address and program, and ended one by one', async () => {
  const first = await enter(acme, '192.0.2.1');
  const second = await enter(acme, '192.0.2.2');
  const listed = await sessionsOf(second);
  const current = listed.find((session) => session.current);
  assert.deepEqual([current.address, current.portal, current.userAgent], ['192.0.2.2', 'ADMIN', 'node']);
  assert.equal(Date.parse(current.expiresAt) - Date.parse(current.createdAt), 12 * 3_600_000);
  const { sessionId } = listed.find(({ address }) => address === '192.0.2.1');
  const foreign = await end(other.client, 'endSession', { sessionId });
  assert.deepEqual([foreign.code, foreign.field], ['session-missing', 'sessionId']);
  assert.equal(await codeOf(first), undefined);
  assert.equal((await end(second, 'endSession', { sessionId })).ended, 1);
  assert.equal(await codeOf(first), 'unauthenticated');
  assert.equal(await codeOf(second), undefined);
  assert.equal((await end(second, 'endSession', { sessionId })).code, 'session-missing');
});

test('administrators see and end the sessions of their tenant’s accounts, nobody else’s', async () => {
  const list = 'query($id: ID!) { accountSessions(accountId: $id) { sessionId address } }';
  const victim = await enter(acme, '192.0.2.3');
  const [session] = (await acme.client.query(list, { id: acme.accountId })).accountSessions;
  assert.equal(session.address, '192.0.2.3');
  assert.deepEqual((await other.client.query(list, { id: acme.accountId })).accountSessions, []);
  const foreign = await end(other.client, 'endAccountSessions', { accountId: acme.accountId });
  assert.equal(foreign.code, 'account-missing');
  const crossed = await end(other.client, 'endAccountSessions', {
    accountId: other.accountId,
    sessionId: session.sessionId,
  });
  assert.equal(crossed.code, 'session-missing');
  assert.equal(await codeOf(victim), undefined);
  const one = await end(acme.client, 'endAccountSessions', {
    accountId: acme.accountId,
    ...session,
    address: undefined,
  });
  assert.equal(one.ended, 1);
  assert.equal(await codeOf(victim), 'unauthenticated');
  const all = await end(acme.client, 'endAccountSessions', { accountId: acme.accountId });
  assert.ok(all.ended >= 1);
  assert.equal(await codeOf(acme.client), 'unauthenticated');
  acme = { ...acme, client: await enter(acme) };
  const [told] = await audited(acme.client, 'SessionsEnded');
  assert.deepEqual(
    [told.actor.id, told.data.reason, told.data.sessionId, told.data.sessions],
    [acme.accountId, 'revoked', null, all.ended],
  );
  assert.deepEqual(await audited(other.client, 'SessionsEnded'), []);
});

test('a session lasts as the tenant says, open ones too', async () => {
  const set = (client: TenantStage['client'], idleMinutes: number, absoluteHours: number) =>
    client.mutate(
      'setSessionPolicy',
      { portal: 'ADMIN', idleMinutes, absoluteHours },
      'SignInSettingsPayload',
      'signInSettings { portals { portal idleMinutes absoluteHours ranges } }',
    );
  const wrong = await set(acme.client, 0, 1);
  assert.deepEqual([wrong.code, wrong.field], ['invalid-input', 'idleMinutes']);
  const idle = await enter(acme);
  const changed = await set(acme.client, 10, 1);
  assert.deepEqual(changed.signInSettings.portals, [
    { portal: 'ADMIN', idleMinutes: 10, absoluteHours: 1, ranges: [] },
    { portal: 'SELF_SERVICE', idleMinutes: 60, absoluteHours: 12, ranges: [] },
  ]);
  aheadMs += 9 * minuteMs;
  assert.equal(await codeOf(idle), undefined);
  aheadMs += 11 * minuteMs;
  assert.equal(await codeOf(idle), 'unauthenticated');
  assert.equal(await codeOf(other.client), undefined, 'another tenant has its own');
  const busy = await enter(acme);
  for (let minutes = 0; minutes < 54; minutes += 9) {
    aheadMs += 9 * minuteMs;
    assert.equal(await codeOf(busy), undefined, `${minutes}`);
  }
  aheadMs += 7 * minuteMs;
  assert.equal(await codeOf(busy), 'unauthenticated');
  acme = { ...acme, client: await enter(acme) };
  await set(acme.client, 60, 12);
  other = { ...other, client: await enter(other) };
});

test('addresses are restricted at once; nobody locks himself out, and the server itself always gets in', async () => {
  const restrict = (client: Client, ranges: string[], force = false) =>
    client.mutate(
      'restrictSignInAddresses',
      { portal: 'ADMIN', ranges, force },
      'SignInSettingsPayload',
      'signInSettings { portals { ranges } }',
    );
  const office = await enter(acme, '192.0.2.10');
  const home = await enter(acme, '198.51.100.1');
  const bad = await restrict(office, ['192.0.2.0/33']);
  assert.deepEqual([bad.code, bad.field], ['invalid-input', 'ranges.0']);
  const locking = await restrict(office, ['198.51.100.0/24']);
  assert.deepEqual(
    [locking.__typename, locking.code, locking.field],
    ['Refusal', 'own-address-excluded', 'ranges'],
  );
  const done = await restrict(office, ['192.0.2.0/24', '2001:db8::/32']);
  assert.deepEqual(done.signInSettings.portals[0].ranges, ['192.0.2.0/24', '2001:db8::/32']);
  assert.equal(await codeOf(home), 403);
  assert.equal((await tryIn(at(stage, '198.51.100.1'), acme)).code, 'address-refused');
  assert.equal((await tryIn(at(stage, '198.51.100.1'), { ...acme, password: 'x' })).code, 'address-refused');
  assert.equal((await tryIn(at(stage, '2001:db8::7'), acme)).step, 'SIGNED_IN');
  assert.equal((await tryIn(at(stage, '198.51.100.1'), other)).step, 'SIGNED_IN', 'another tenant');
  const feed = await fetch(`${stage.api.url}/events/v1/feed`, {
    headers: { authorization: `Bearer ${home.token}`, 'x-forwarded-for': '198.51.100.1' },
  });
  assert.equal(feed.status, 403);
  assert.equal(((await feed.json()) as Json).type, '/errors#address-refused');
  const forced = await restrict(office, ['203.0.113.0/24'], true);
  assert.equal(forced.__typename, 'SignInSettingsPayload');
  assert.equal(await codeOf(office), 403);
  const local = await enter(acme, '127.0.0.1');
  assert.equal((await restrict(local, [])).__typename, 'SignInSettingsPayload');
  assert.equal(await codeOf(home), undefined);
});

test('a changed password gives the session a new token; the old one ends', async () => {
  const before = await enter(acme);
  const newPassword = 'quite another long password';
  const changed = await before.mutate(
    'changePassword',
    { currentPassword: acme.password, newPassword },
    'ChangePasswordPayload',
    'token',
  );
  acme = { ...acme, password: newPassword };
  assert.match(changed.token, /^muster-session\./);
  assert.notEqual(changed.token, before.token);
  assert.equal(await codeOf(before), 'unauthenticated');
  const now = at(stage, '127.0.0.1', changed.token);
  assert.equal(await codeOf(now), undefined);
  assert.equal((await sessionsOf(now)).length, 1, 'others have ended');
  acme = { ...acme, client: now };
});

const ours = { 'x-muster-request': '1', origin: publicUrl, 'sec-fetch-site': 'same-origin' };
/** Calls as a browser with cookies does; the answer's cookies by name. */
const browse = async (query: string, headers: Record<string, string>, variables: object = {}) => {
  const response = await fetch(`${stage.api.url}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify({ query, variables }),
  });
  const body = (await response.json()) as Json;
  return { status: response.status, body, cookies: response.headers.getSetCookie() };
};
const signInQuery = `mutation($input: SignInInput!) { signIn(input: $input) {
  ... on SignInPayload { step token clientToken } ... on Error { code } } }`;
const inputOf = ({ slug, email, password }: TenantStage) => ({
  input: { tenantSlug: slug, email, password, cookie: true },
});

test('a browser keeps the session as a cookie that no script and no other site can use', async () => {
  const { body, cookies } = await browse(signInQuery, ours, inputOf(acme));
  assert.deepEqual(body.data.signIn, { step: 'SIGNED_IN', token: null, clientToken: null });
  assert.equal(cookies.length, 2);
  for (const cookie of cookies)
    assert.match(
      cookie,
      /^__Host-muster-(session|client)=[\w.-]+; Path=\/; Secure; HttpOnly; SameSite=Strict/,
    );
  const cookie = cookies.map((text) => text.split(';')[0]).join('; ');
  const viewer = '{ viewer { email } }';
  const own = await browse(viewer, { ...ours, cookie });
  assert.equal(own.body.data.viewer.email, acme.email);

  const { origin: _o, 'sec-fetch-site': _s, ...bare } = ours;
  const attacks: Record<string, string>[] = [
    { origin: publicUrl, 'sec-fetch-site': 'same-origin' },
    { ...ours, 'x-muster-request': '0' },
    { ...ours, 'sec-fetch-site': 'same-site' },
    { ...ours, 'sec-fetch-site': 'cross-site' },
    { ...ours, origin: 'https://evil.example' },
    { ...ours, origin: 'https://muster.example.org.evil.example' },
    { ...ours, origin: 'null' },
    bare,
  ];
  for (const headers of attacks) {
    const attacked = await browse(viewer, { ...headers, cookie });
    assert.equal(attacked.status, 403, JSON.stringify(headers));
    assert.equal(attacked.body.type, '/errors#cross-site-request');
  }
  assert.ok((await browse(viewer, { ...bare, origin: publicUrl, cookie })).body.data, 'origin alone');
  assert.ok(
    (await browse(viewer, { ...bare, 'sec-fetch-site': 'same-origin', cookie })).body.data,
    'metadata alone',
  );
  const lured = await browse(signInQuery, { origin: 'https://evil.example' }, inputOf(other));
  assert.equal(lured.body.data.signIn.code, 'cross-site-request');
  assert.deepEqual(lured.cookies, []);
  const form = await fetch(`${stage.api.url}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'text/plain', cookie },
    body: JSON.stringify({ query: viewer }),
  });
  assert.equal(form.status, 415);
});

test('signing in again, changing the password and signing out replace the cookie', async () => {
  const sessionCookie = (cookies: readonly string[]) =>
    cookies.find((text) => text.startsWith('__Host-muster-session='))?.split(';')[0] ?? '';
  const first = sessionCookie((await browse(signInQuery, ours, inputOf(acme))).cookies);
  const again = await browse(signInQuery, { ...ours, cookie: first }, inputOf(acme));
  const second = sessionCookie(again.cookies);
  assert.notEqual(second, first);
  const viewer = '{ viewer { email } }';
  assert.equal(
    (await browse(viewer, { ...ours, cookie: first })).body.errors[0].extensions.code,
    'unauthenticated',
  );

  const newPassword = 'the third of many passwords';
  const changed = await browse(
    `mutation($input: ChangePasswordInput!) { changePassword(input: $input) {
      ... on ChangePasswordPayload { token } ... on Error { code } } }`,
    { ...ours, cookie: second },
    { input: { currentPassword: acme.password, newPassword } },
  );
  acme = { ...acme, password: newPassword };
  assert.deepEqual(changed.body.data.changePassword, { token: null });
  const third = sessionCookie(changed.cookies);
  assert.equal(
    (await browse(viewer, { ...ours, cookie: second })).body.errors[0].extensions.code,
    'unauthenticated',
  );
  assert.equal((await browse(viewer, { ...ours, cookie: third })).body.data.viewer.email, acme.email);

  const out = await browse('mutation { signOut(input: {}) { ... on SignOutPayload { signedOut } } }', {
    ...ours,
    cookie: third,
  });
  assert.match(out.cookies[0] ?? '', /^__Host-muster-session=; .*Max-Age=0$/);
  assert.equal(
    (await browse(viewer, { ...ours, cookie: third })).body.errors[0].extensions.code,
    'unauthenticated',
  );
});

test('a token is good for its portal alone', async () => {
  const opened = await openCredentials(stage.deps, stage.config);
  const { token } = await opened.sessions.open({
    tenantId: acme.tenantId,
    accountId: acme.accountId,
    portal: 'self-service',
    address: '127.0.0.1',
    userAgent: null,
    method: 'password',
    vouched: false,
  });
  const caller = { token, address: '127.0.0.1' };
  assert.equal(await codeOf(clientOf(stage.api.url, token)), 'unauthenticated');
  assert.equal(await identifyAccount(stage.deps, opened, caller), null);
  const there = await identifyAccount(stage.deps, opened, caller, { portal: 'self-service' });
  assert.equal(there?.accountId, acme.accountId);
});
