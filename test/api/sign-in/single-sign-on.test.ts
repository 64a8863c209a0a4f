/**
 * Single sign-on over real redirects: two tenants with a provider each (npm oidc-provider, https, loopback), a browser
 * with cookies, and what forged answers, other people's flows and a changed address meet.
 */
import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { isReachable } from '../../../api/sign-in/oidc/egress.ts';
import { openProviders } from '../../../api/sign-in/oidc/provider.ts';
import type { IdentityProviderSettings } from '../../../domain/identity-provider/identity-provider.ts';
import {
  type Arrival,
  type Claims,
  type IdentityProvider,
  openBrowser,
  startIdentityProvider,
  type WebBrowser,
} from '../../support/identity-provider.ts';
import {
  type ApiStage,
  type Client,
  clientOf,
  enter,
  type Json,
  openStage,
  type TenantStage,
} from '../stage.ts';
import { audited, behindBalancer, until } from './people.ts';

let stage: ApiStage;
let acme: TenantStage;
let other: TenantStage;
let acmeId: IdentityProvider;
let otherId: IdentityProvider;
let people = 0;

const settingsOf = (provider: IdentityProvider, more: object = {}) => ({
  issuer: provider.issuer,
  clientId: provider.clientId,
  scopes: ['email', 'profile'],
  caCertificate: provider.ca,
  portals: ['admin', 'self-service'],
  firstSignIn: 'verified-email',
  provisionRole: null,
  provisionUsers: false,
  trustSecondFactor: false,
  secondFactorAcr: [],
  required: false,
  passwordAccounts: [],
  ...more,
});
const configure = ({ client }: Pick<TenantStage, 'client'>, settings: object, clientSecret?: string) =>
  client.mutate(
    'configureIdentityProvider',
    { settings, ...(clientSecret ? { clientSecret } : {}) },
    'IdentityProviderPayload',
    'identityProvider { settings secretSet redirectUri }',
  );

before(async () => {
  stage = await openStage({
    settings: { ...behindBalancer, identityProviderNetworks: '127.0.0.1,::1' },
  });
  [acme, other] = [await stage.tenant('acme'), await stage.tenant('other')];
  const redirectUri = `${stage.api.url}/sign-in/oidc/callback`;
  [acmeId, otherId] = await Promise.all([
    startIdentityProvider(redirectUri),
    startIdentityProvider(redirectUri),
  ]);
});
after(async () => {
  await stage.stop();
  await acmeId.stop();
  await otherId.stop();
});
beforeEach(async () => {
  acmeId.tamper(undefined);
  for (const [tenant, provider] of [
    [acme, acmeId],
    [other, otherId],
  ] as const)
    assert.equal(
      (await configure(tenant, settingsOf(provider), provider.clientSecret)).__typename,
      'IdentityProviderPayload',
    );
});

/** Another administrator of a tenant, with the word of the provider that it is that person. */
const somebody = async (tenant: TenantStage, role = 'administrator') => {
  people += 1;
  const email = `person${people}@${tenant.slug}.example`;
  const password = `a long password of ${people}`;
  const { oneTimePassword, account } = await tenant.client.mutate(
    'createAccount',
    { email, name: 'Somebody', role },
    'AccountPasswordPayload',
    'oneTimePassword account { id }',
  );
  const client = await enter(stage.api.url, tenant.slug, email, oneTimePassword, password);
  const claims: Claims = { sub: `subject-${people}`, email, email_verified: true, name: 'Some Body' };
  return { email, password, client, claims, accountId: account.id as string, slug: tenant.slug };
};

const begin = (slug: string, more = '') => `${stage.api.url}/sign-in/oidc/${slug}${more}`;
const isCallback = (url: string) => url.startsWith(`${stage.api.url}/sign-in/oidc/callback`);
const isOver = (url: string) => url.startsWith(stage.api.url) && !isCallback(url);
const browserOf = () => openBrowser(acmeId.ca, otherId.ca);

/** Walks the whole way, from our address to the provider and back. */
const walk = (provider: IdentityProvider, claims: Claims, slug: string, browser = browserOf(), more = '') => {
  provider.whoSignsIn(claims);
  return browser.follow(begin(slug, more), isOver);
};
/** Walks until the provider sends the browser back; that address is not visited. */
const walkToCallback = async (
  provider: IdentityProvider,
  claims: Claims,
  slug: string,
  browser: WebBrowser,
) => {
  provider.whoSignsIn(claims);
  const { location } = await browser.follow(begin(slug), isCallback);
  assert.ok(location && isCallback(location), location);
  return location;
};
const problemOf = ({ body, status }: Arrival): string => {
  const { type } = JSON.parse(body) as { type: string };
  assert.ok(status >= 400);
  return type.replace('/errors#', '');
};

/** The session that a browser holds, as its pages use it. */
const pagesOf = (browser: WebBrowser): Client => {
  const cookies = browser.jar.get(new URL(stage.api.url).host) ?? new Map();
  const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join('; ');
  return clientOf(stage.api.url, undefined, { cookie, 'x-muster-request': '1', origin: stage.api.url });
};
const viewerOf = async (browser: WebBrowser): Promise<Json> =>
  (await pagesOf(browser).query('{ viewer { email tenantSlug role { id } secondFactor { due } } }')).viewer;

test('a browser signs in over the provider, is bound by its subject, and goes where it wanted', async () => {
  const person = await somebody(acme);
  const browser = browserOf();
  const first = await browser.visit(begin('acme', '?returnTo=/devices?x=1'));
  const asked = new URL(first.location as string).searchParams;
  assert.equal(first.status, 302);
  assert.deepEqual(
    [asked.get('response_type'), asked.get('code_challenge_method'), asked.get('scope')],
    ['code', 'S256', 'openid email profile'],
  );
  assert.ok((asked.get('state') ?? '').length >= 43 && (asked.get('nonce') ?? '').length >= 43);
  assert.match(
    first.setCookies.join(),
    /^__Host-muster-sign-on=[\w-]{43}; Path=\/; Secure; HttpOnly; SameSite=Lax; Max-Age=600$/,
  );
  acmeId.whoSignsIn(person.claims);
  const arrival = await browser.follow(first.location as string, isOver);
  assert.deepEqual([arrival.status, arrival.location], [303, `${stage.api.url}/devices?x=1`]);
  assert.ok(
    arrival.setCookies.some((cookie) =>
      /^__Host-muster-session=muster-session\..*SameSite=Strict/.test(cookie),
    ),
  );
  const viewer = await viewerOf(browser);
  assert.deepEqual([viewer.email, viewer.tenantSlug], [person.email, 'acme']);
  const { sessions } = await pagesOf(browser).query('{ sessions { method current } }');
  assert.deepEqual(sessions[0], { method: 'IDENTITY_PROVIDER', current: true });
  const [told] = await audited(acme.client, 'AccountSignedIn');
  assert.deepEqual([told.data.method, told.data.accountId], ['identity-provider', person.accountId]);
  const [bound] = await audited(acme.client, 'AccountIdentityBound');
  assert.deepEqual(bound.data, { issuer: acmeId.issuer, subject: person.claims.sub });
  assert.deepEqual(await audited(other.client, 'AccountIdentityBound'), []);
  // By the subject alone from now on: the address may change, or be nobody's any more.
  await walk(acmeId, { sub: person.claims.sub, email: 'new@elsewhere.example' }, 'acme', browserOf());
  const { signOut } = await pagesOf(browser).query(
    'mutation { signOut(input: {}) { ... on SignOutPayload { signedOut providerSignOutUrl } } }',
  );
  assert.match(signOut.providerSignOutUrl, new RegExp(`^${acmeId.issuer}/session/end\\?client_id=muster&`));
});

test('an address that changed hands at the provider takes over nothing', async () => {
  const person = await somebody(acme);
  await walk(acmeId, person.claims, 'acme');
  const thief = { ...person.claims, sub: 'thief' };
  const browser = browserOf();
  assert.equal(problemOf(await walk(acmeId, thief, 'acme', browser)), 'identity-bound');
  await assert.rejects(viewerOf(browser));
  const refused = await until(
    () => audited(acme.client, 'SingleSignOnRefused'),
    (found) => found.length > 0,
  );
  assert.equal(refused[0].data.reason, 'identity-bound');
  const unbind = (client: Client) =>
    client.mutate('unbindAccountIdentity', { accountId: person.accountId }, 'IdentityPayload', 'pending');
  assert.equal((await unbind(other.client)).code, 'account-missing');
  assert.equal((await unbind(acme.client)).__typename, 'IdentityPayload');
  assert.equal((await walk(acmeId, thief, 'acme', browser)).status, 303);
});

test('an address that the provider has not verified is nobody’s', async () => {
  const { claims } = await somebody(acme);
  for (const verified of [false, undefined, 'false', 1])
    assert.equal(
      problemOf(await walk(acmeId, { ...claims, email_verified: verified }, 'acme')),
      'single-sign-on-failed',
    );
  assert.equal(
    problemOf(await walk(acmeId, { sub: 'x', email: 'who@acme.example', email_verified: true }, 'acme')),
    'single-sign-on-failed',
  );
});

test('an answer is good once, for the browser that asked, with its state', async () => {
  const { claims } = await somebody(acme);
  const browser = browserOf();
  const callback = await walkToCallback(acmeId, claims, 'acme', browser);
  const stranger = browserOf();
  await stranger.visit(begin('acme'));
  for (const [who, url] of [
    [stranger, callback],
    [browserOf(), callback],
    [browser, callback.replace(/state=[^&]+/, `state=${'A'.repeat(43)}`)],
  ] as const)
    assert.equal(problemOf(await who.visit(url)), 'sign-in-over', url);
  const forged = callback.replace(/iss=[^&]+/, `iss=${encodeURIComponent(otherId.issuer)}`);
  assert.notEqual(forged, callback);
  assert.equal(problemOf(await browser.visit(forged)), 'single-sign-on-failed');
  assert.equal(problemOf(await browser.visit(callback)), 'sign-in-over', 'used up');
  const again = await walkToCallback(acmeId, claims, 'acme', browser);
  assert.equal((await browser.visit(again)).status, 303);
  assert.equal(problemOf(await browser.visit(again)), 'sign-in-over', 'replayed');
  assert.equal(
    problemOf(await browser.visit(`${begin('callback')}?state=${'A'.repeat(43)}&error=access_denied`)),
    'sign-in-over',
  );
});

test('a browser that fails again and again waits', async () => {
  const browser = browserOf();
  await browser.visit(begin('acme'));
  const codes: string[] = [];
  for (let tries = 0; tries < 7; tries += 1)
    codes.push(
      problemOf(
        await browser.visit(`${begin('callback')}?state=${tries}&code=x`, {
          'x-forwarded-for': '192.0.2.77',
        }),
      ),
    );
  assert.equal(codes[0], 'sign-in-over');
  assert.equal(codes.at(-1), 'too-many-attempts');
});

test('a token of another key, audience, issuer, nonce or time is refused', async () => {
  const { claims } = await somebody(acme);
  const past = Math.floor(Date.now() / 1000) - 3600;
  for (const [name, tampered] of Object.entries({
    key: { foreignKey: true },
    aud: { claims: { aud: 'somebody-else' } },
    iss: { claims: { iss: otherId.issuer } },
    nonce: { claims: { nonce: 'of another sign-in' } },
    exp: { claims: { iat: past - 60, exp: past } },
    azp: { claims: { aud: ['muster', 'x'], azp: 'x' } },
  })) {
    acmeId.tamper((token) => ({
      ...tampered,
      claims: { ...token, ...('claims' in tampered ? tampered.claims : {}) },
    }));
    const arrival = await walk(acmeId, claims, 'acme');
    assert.equal(problemOf(arrival), 'single-sign-on-failed', name);
    assert.ok(!arrival.body.includes('eyJ'), 'no token is shown');
  }
  acmeId.tamper((token) => ({ claims: token }));
  assert.equal((await walk(acmeId, claims, 'acme')).status, 303, 'only what was changed was refused');
});

test('the provider of one tenant lets nobody into another', async () => {
  const person = await somebody(other);
  const browser = browserOf();
  const callback = await walkToCallback(acmeId, { ...person.claims }, 'acme', browser);
  // The answer of acme’s provider to a sign-in that was begun for the other tenant.
  const { location } = await browser.visit(begin('other'));
  const state = new URL(location as string).searchParams.get('state') as string;
  assert.equal(
    problemOf(await browser.visit(callback.replace(/state=[^&]+/, `state=${state}`))),
    'single-sign-on-failed',
  );
  assert.equal(problemOf(await browser.visit(callback)), 'single-sign-on-failed', 'nobody in acme');
  await walk(otherId, person.claims, 'other');
  assert.equal(problemOf(await walk(acmeId, person.claims, 'acme')), 'single-sign-on-failed');
});

test('disabled accounts, suspended tenants and refused addresses stay out', async () => {
  const person = await somebody(acme);
  await walk(acmeId, person.claims, 'acme');
  const change = (name: string) =>
    acme.client.mutate(name, { accountId: person.accountId }, 'AccountPayload', 'pending');
  await change('disableAccount');
  assert.equal(problemOf(await walk(acmeId, person.claims, 'acme')), 'account-disabled');
  const restrict = (ranges: string[]) =>
    acme.client.mutate(
      'restrictSignInAddresses',
      { portal: 'ADMIN', ranges, force: true },
      'SignInSettingsPayload',
      'pending',
    );
  const elsewhere = { 'x-forwarded-for': '198.51.100.1' };
  const sent = browserOf();
  const late = await walkToCallback(acmeId, person.claims, 'acme', sent);
  await restrict(['192.0.2.0/24']);
  assert.equal(problemOf(await browserOf().visit(begin('acme'), elsewhere)), 'address-refused');
  assert.equal(problemOf(await sent.visit(late, elsewhere)), 'address-refused');
  await restrict([]);
  const third = await stage.tenant('third');
  await configure(third, settingsOf(acmeId), acmeId.clientSecret);
  const inside = await somebody(third);
  const browser = browserOf();
  const callback = await walkToCallback(acmeId, inside.claims, 'third', browser);
  await stage.operator.mutate(
    'suspendTenant',
    { tenantId: third.tenantId, reason: 'unpaid' },
    'TenantPayload',
    'pending',
  );
  assert.equal(problemOf(await browser.visit(callback)), 'tenant-suspended');
});

test('accounts are made with the role of the settings, without a password, once', async () => {
  const settings = settingsOf(acmeId, { provisionRole: 'helpdesk' });
  await configure(acme, settings);
  const claims = { sub: 'new-1', email: 'new1@acme.example', email_verified: true, name: 'New One' };
  const browser = browserOf();
  await walk(acmeId, claims, 'acme', browser);
  const viewer = await viewerOf(browser);
  assert.deepEqual([viewer.email, viewer.role.id], ['new1@acme.example', 'helpdesk']);
  await walk(acmeId, claims, 'acme', browserOf());
  const created = (await audited(acme.client, 'AccountCreated')).filter(
    ({ data }) => data.email === 'new1@acme.example',
  );
  assert.deepEqual(
    created.map(({ actor }) => actor),
    [{ kind: 'SYSTEM', id: 'identity-provider' }],
  );
  // Without a password, a second factor is set up on the strength of the sign-in.
  const begun = await pagesOf(browser).mutate('beginTotp', {}, 'BeginTotpPayload', 'secret');
  assert.equal(begun.__typename, 'BeginTotpPayload', JSON.stringify(begun));
  // The same person comes twice at once.
  const twice = { ...claims, sub: 'new-2', email: 'new2@acme.example' };
  const browsers = [browserOf(), browserOf()];
  const callbacks: string[] = [];
  for (const one of browsers) callbacks.push(await walkToCallback(acmeId, twice, 'acme', one));
  const arrivals = await Promise.all(browsers.map((one, n) => one.visit(callbacks[n] as string)));
  assert.ok(arrivals.some(({ status }) => status === 303));
  const { accounts } = await acme.client.query('{ accounts(first: 100) { nodes { email } } }');
  assert.equal(accounts.nodes.filter(({ email }: Json) => email === 'new2@acme.example').length, 1);
});

test('users enter the self-service portal, and see nothing but their own', async () => {
  await configure(acme, settingsOf(acmeId, { provisionUsers: true }));
  const browser = browserOf();
  const claims = { sub: 'ann', email: 'ann@acme.example', email_verified: true, name: 'Ann' };
  const arrival = await walk(acmeId, claims, 'acme', browser, '?portal=selfservice&returnTo=/me');
  assert.equal(arrival.location, `${stage.api.url}/me`);
  const pages = pagesOf(browser);
  assert.equal((await pages.query('{ selfViewer { email } }')).selfViewer.email, 'ann@acme.example');
  assert.equal((await pages.raw('{ viewer { email } }')).errors[0]?.extensions.code, 'forbidden');
  const [told] = await audited(acme.client, 'UserSignedIn');
  assert.equal(told.data.method, 'identity-provider');
  await configure(acme, settingsOf(acmeId, { portals: ['admin'] }));
  const shut = await walk(acmeId, claims, 'acme', browserOf(), '?portal=self-service');
  assert.equal(problemOf(shut), 'identity-provider-missing');
});

test('a second factor is asked for, unless the provider did or is trusted to', async () => {
  const person = await somebody(acme);
  const { secret } = await person.client.mutate(
    'beginTotp',
    { currentPassword: person.password },
    'BeginTotpPayload',
    'secret',
  );
  const { Secret, TOTP } = await import('otpauth');
  const totp = new TOTP({ secret: Secret.fromBase32(secret) });
  await person.client.mutate('confirmTotp', { code: totp.generate() }, 'RecoveryCodesPayload', 'pending');
  const browser = browserOf();
  const arrival = await walk(acmeId, person.claims, 'acme', browser, '?returnTo=/x');
  const [page, fragment] = (arrival.location as string).split('#');
  assert.equal(page, `${stage.api.url}/sign-in`);
  const pending = new URLSearchParams(fragment);
  assert.equal(pending.get('returnTo'), '/x');
  await assert.rejects(viewerOf(browser));
  const code = totp.generate({ timestamp: Date.now() + 30_000 });
  const done = await pagesOf(browser).mutate(
    'signInWithCode',
    { pendingToken: pending.get('pendingToken'), code },
    'SignInPayload',
    'step token',
  );
  assert.equal(done.step, 'SIGNED_IN', JSON.stringify(done));
  const vouched = browserOf();
  await walk(acmeId, { ...person.claims, amr: ['pwd', 'mfa'] }, 'acme', vouched);
  assert.equal((await viewerOf(vouched)).email, person.email);
  await configure(acme, settingsOf(acmeId, { trustSecondFactor: true }));
  const trusted = browserOf();
  await walk(acmeId, person.claims, 'acme', trusted);
  assert.equal((await viewerOf(trusted)).email, person.email);
});

test('where everybody needs a second factor, a session that the provider vouches for needs no other', async () => {
  const person = await somebody(other);
  await other.client.mutate('requireSecondFactor', { required: true }, 'SignInSettingsPayload', 'pending');
  try {
    const [plain, vouched] = [browserOf(), browserOf()];
    await walk(otherId, person.claims, 'other', plain);
    assert.equal((await viewerOf(plain)).secondFactor.due, true);
    await walk(otherId, { ...person.claims, amr: ['mfa'] }, 'other', vouched);
    assert.equal((await viewerOf(vouched)).secondFactor.due, false);
    const { requireSecondFactor } = await pagesOf(vouched).query(
      'mutation { requireSecondFactor(input: { required: false }) { __typename } }',
    );
    assert.equal(requireSecondFactor.__typename, 'SignInSettingsPayload');
  } finally {
    await other.client.raw('mutation { requireSecondFactor(input: { required: false }) { __typename } }');
  }
});

test('required, it closes the door to passwords but for who can help', async () => {
  const person = await somebody(acme);
  const strict = (passwordAccounts: string[]) =>
    configure(acme, settingsOf(acmeId, { required: true, passwordAccounts }));
  const helpdesk = await somebody(acme, 'helpdesk');
  assert.equal((await strict([])).code, 'password-account-missing');
  assert.equal((await strict([helpdesk.accountId])).code, 'password-account-missing');
  assert.equal((await strict([other.accountId])).code, 'password-account-missing');
  assert.equal((await strict([acme.accountId])).__typename, 'IdentityProviderPayload');
  const enterBy = async (email: string, password: string): Promise<Json> =>
    stage.nobody.mutate('signIn', { tenantSlug: 'acme', email, password }, 'SignInPayload', 'step');
  await until(
    () => enterBy(person.email, person.password),
    ({ code }) => code === 'single-sign-on-required',
  );
  assert.equal((await enterBy(person.email, 'wrong')).code, 'unauthenticated');
  assert.equal((await enterBy(acme.email, acme.password)).step, 'SIGNED_IN');
  assert.equal((await walk(acmeId, person.claims, 'acme')).status, 303);
  for (const [name, more] of [
    ['disableAccount', {}],
    ['changeAccountRole', { role: 'helpdesk' }],
  ] as const) {
    const done = await person.client.mutate(
      name,
      { accountId: acme.accountId, ...more },
      'AccountPayload',
      'pending',
    );
    assert.equal(done.code, 'password-account-needed', name);
  }
});

test('only who may do everything names the provider, and nobody reads its secret', async () => {
  const made = await acme.client.mutate(
    'createRole',
    { name: 'Doorkeeper', description: 'Looks after sign-in.', permissions: ['SIGN_IN_MANAGE'] },
    'RolePayload',
    'role { id }',
  );
  const keeper = await somebody(acme, made.role.id);
  assert.equal((await configure(keeper, settingsOf(acmeId))).code, 'forbidden');
  const state = await keeper.client.raw('{ identityProvider { settings secretSet redirectUri } }');
  assert.equal(state.data.identityProvider.secretSet, true);
  assert.ok(!JSON.stringify(state).includes(acmeId.clientSecret));
  const gone = await configure(acme, settingsOf(acmeId, { clientId: 'another' }));
  assert.equal(gone.identityProvider.secretSet, false, 'a secret goes to nobody but whom it was for');
  let log = '';
  for await (const event of stage.deps.store.readAll()) log += JSON.stringify([event.type, event.data]);
  assert.ok(log.includes('IdentityProviderSecretChanged') && !log.includes(acmeId.clientSecret));
  assert.ok(!/eyJ[\w-]{20,}/.test(log), 'no token is in the log');
  const kept = await stage.deps.sql`select sealed from vault.sealed_secrets`;
  assert.ok(!JSON.stringify(kept).includes(acmeId.clientSecret));
});

test('nothing tells whether a tenant without single sign-on exists, and only own paths are gone back to', async () => {
  await acme.client.query('mutation { removeIdentityProvider { __typename } }');
  const browser = browserOf();
  const answers = await until(
    () =>
      Promise.all(
        ['acme', 'nowhere', 'UP CASE', 'callback'].map((slug) =>
          browser.visit(begin(encodeURIComponent(slug))),
        ),
      ),
    (found) => found[0]?.status !== 302,
  );
  const [known, ...unknown] = answers.map(({ status, body }) => [
    status,
    { ...JSON.parse(body), requestId: '' },
  ]);
  for (const answer of unknown) assert.deepEqual(answer, known);
  const url = async (slug: string) =>
    (await stage.nobody.query('query($slug: String!) { singleSignOnUrl(tenantSlug: $slug) }', { slug }))
      .singleSignOnUrl;
  assert.deepEqual([await url('acme'), await url('nowhere')], [null, null]);
  assert.equal(await url('other'), `${begin('other')}?portal=admin`);
  for (const returnTo of ['//evil.example', '/\\evil.example', 'https://evil.example', 'x', '/a b', '/%0a\\'])
    assert.equal(
      problemOf(await browser.visit(begin('other', `?returnTo=${encodeURIComponent(returnTo)}`))),
      'invalid-input',
      returnTo,
    );
  assert.equal((await fetch(begin('other'), { method: 'POST' })).status, 405);
  const page = await browser.visit(begin('nowhere'), { accept: 'text/html' });
  assert.match(page.body, /^<!doctype html>.*There is no single sign-on here.*identity-provider-missing/s);
});

test('a provider that is away, or that lies, is told from one that works', async () => {
  const third = await startIdentityProvider(`${stage.api.url}/sign-in/oidc/callback`);
  const tryIt = async () =>
    (
      await acme.client.query(
        'mutation { testIdentityProvider { ... on TestIdentityProviderPayload { usable problem redirectUri warnings } } }',
      )
    ).testIdentityProvider;
  await configure(acme, settingsOf(third), third.clientSecret);
  assert.deepEqual([(await tryIt()).usable, (await tryIt()).warnings], [true, []]);
  await configure(acme, settingsOf(third, { caCertificate: otherId.ca }));
  assert.match((await tryIt()).problem, /certificate/);
  await configure(acme, settingsOf(third, { issuer: `${third.issuer}/elsewhere` }));
  assert.equal((await tryIt()).usable, false);
  await third.stop();
  await configure(acme, settingsOf(third));
  const away = await tryIt();
  assert.deepEqual([away.usable, away.redirectUri], [false, `${begin('callback')}`]);
  const answer = await until(
    () => browserOf().visit(begin('acme')),
    ({ status }) => status === 503,
  );
  assert.equal(problemOf(answer), 'identity-provider-unavailable');
});

test('a provider is reached at public addresses, over https, and nowhere else', async () => {
  for (const address of [
    '10.0.0.5',
    '172.16.1.1',
    '192.168.1.1',
    '127.0.0.1',
    '169.254.169.254',
    '100.64.0.1',
    '::1',
    'fd12::1',
    '::ffff:10.0.0.1',
    'fe80::1',
  ])
    assert.ok(!isReachable(address, []), address);
  for (const address of ['8.8.8.8', '2001:4860::1']) assert.ok(isReachable(address, []), address);
  assert.ok(isReachable('10.0.0.5', ['10.0.0.0/24']) && !isReachable('10.0.1.5', ['10.0.0.0/24']));
  const settings = settingsOf(acmeId) as unknown as IdentityProviderSettings;
  const ask = (issuer: string, allowed: string[] = []) =>
    openProviders(allowed).of(acme.tenantId, { ...settings, issuer }, null);
  const { port } = new URL(acmeId.issuer);
  for (const issuer of [
    acmeId.issuer,
    `https://127.0.0.1:${port}`,
    `https://[::1]:${port}`,
    `https://[::ffff:127.0.0.1]:${port}`,
    `https://2130706433:${port}`,
    'https://169.254.169.254',
    `http://localhost:${port}`,
  ])
    await assert.rejects(ask(issuer), { code: 'identity-provider-refused' }, issuer);
  assert.ok(await ask(acmeId.issuer, ['127.0.0.1']));
});
