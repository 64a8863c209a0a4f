/**
 * Whatever is open while its caller loses the right to it ends by itself: every route that streams and every
 * subscription, for each way to lose it. All are opened at once and revoked at once, since each takes seconds to notice.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { parse, validate } from 'graphql';
import { schema } from '../../api/graphql/schema.ts';
import { routes } from '../../api/routes.ts';
import { hire, makeKey, proxyTls } from './cast.ts';
import { openReading, type Reading } from './lines.ts';
import { type ApiStage, clientOf, type Json, openStage, type TenantStage } from './stage.ts';
import { makeProxyIdentity } from './world.ts';

let stage: ApiStage;
let acme: TenantStage;
let other: TenantStage;
before(async () => {
  stage = await openStage();
  acme = await stage.tenant('acme');
  other = await stage.tenant('other');
});
after(() => stage.stop());

const subscriptions: Readonly<Record<string, string>> = {
  deviceChanged: 'subscription { deviceChanged { id } }',
};
const feeds = ['/events/v1/feed', '/proxy/v1/feed'];

const subscribe = (token: string, query: string): Promise<Reading> =>
  openReading(`${stage.api.url}/graphql`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      accept: 'text/event-stream',
      authorization: `Bearer ${token}`,
    },
    body: JSON.stringify({ query }),
    separator: '\n\n',
  });

const follow = (token: string, path: string): Promise<Reading> =>
  openReading(`${stage.api.url}${path}`, { headers: { authorization: `Bearer ${token}` }, separator: '\n' });

test('every subscription and every route that streams is followed here', async () => {
  const fields = Object.keys(schema.getSubscriptionType()?.getFields() ?? {});
  assert.deepEqual(fields, Object.keys(subscriptions));
  for (const query of Object.values(subscriptions)) assert.deepEqual(validate(schema, parse(query)), []);
  const streaming = routes.map(({ path }) => path).filter((path) => path.endsWith('/feed'));
  assert.deepEqual(streaming, feeds);
});

/** Somebody who follows whatever he may, and how the right to it ends. */
interface Case {
  readonly feeds: readonly Reading[];
  revoke(): Promise<Json>;
}

/** Follows the events and every subscription. */
const followAll = (token: string): Promise<Reading[]> =>
  Promise.all([
    follow(token, '/events/v1/feed'),
    ...Object.values(subscriptions).map((query) => subscribe(token, query)),
  ]);

const say = (tenant: TenantStage, name: string, input: object): Promise<Json> =>
  tenant.client.mutate(name, input, 'Effect', 'pending');

/** An auditor of the tenant loses the right by what its administrator says about the account. */
const onAccount =
  (mutation: string, more: object = {}) =>
  async (tenant: TenantStage): Promise<Case> => {
    const { accountId, token } = await hire(stage, tenant, mutation.toLowerCase(), 'reporting');
    return { feeds: await followAll(token), revoke: () => say(tenant, mutation, { accountId, ...more }) };
  };

/** Every way to lose the right. */
const cases: Readonly<Record<string, (tenant: TenantStage) => Promise<Case>>> = {
  'another role': onAccount('changeAccountRole', { role: 'app-group-administrator' }),
  'a disabled account': onAccount('disableAccount'),
  'a new one-time password': onAccount('resetAccountPassword'),
  'ended sessions': onAccount('endAccountSessions'),
  'a role that allows less': async (tenant) => {
    const input = { name: 'Watch', description: 'Watches.', permissions: ['DEVICE_READ', 'AUDIT_READ'] };
    const { role } = await tenant.client.mutate('createRole', input, 'RolePayload', 'role { id }');
    const { token } = await hire(stage, tenant, 'watch', role.id);
    const less = { roleId: role.id, permissions: ['TENANT_READ'] };
    return { feeds: await followAll(token), revoke: () => say(tenant, 'changeRolePermissions', less) };
  },
  'signing out': async (tenant) => {
    const { token } = await hire(stage, tenant, 'leaver', 'reporting');
    const own = clientOf(stage.api.url, token);
    return {
      feeds: await followAll(token),
      revoke: () => own.mutate('signOut', {}, 'SignOutPayload', 'signedOut'),
    };
  },
  'a revoked key': async (tenant) => {
    const { apiKeyId, token } = await makeKey(tenant, ['device.read', 'audit.read']);
    return { feeds: await followAll(token), revoke: () => say(tenant, 'revokeApiKey', { apiKeyId }) };
  },
  'a suspended tenant': async () => {
    const { client, tenantId } = await stage.tenant('unpaid');
    const input = { tenantId, reason: 'unpaid' };
    return {
      feeds: await followAll(client.token as string),
      revoke: () => stage.operator.mutate('suspendTenant', input, 'Effect', 'pending'),
    };
  },
  // Support reads devices, and not the audit trail.
  'revoked support access': async (tenant) => {
    await say(tenant, 'grantSupportAccess', { hours: 1 });
    const input = { tenantId: tenant.tenantId };
    const { token } = await stage.operator.mutate('enterTenant', input, 'EnterTenantPayload', 'token');
    const feeds = Object.values(subscriptions).map((query) => subscribe(token, query));
    const revoke = async () =>
      (await tenant.client.query('mutation { revokeSupportAccess { __typename } }')).revokeSupportAccess;
    return { feeds: await Promise.all(feeds), revoke };
  },
  'a revoked proxy': async (tenant) => {
    const identity = makeProxyIdentity();
    const input = { name: 'Edge', certificatePem: identity.certificate };
    const { proxy } = await tenant.client.mutate('registerProxy', input, 'ProxyPayload', 'proxy { id }');
    const url = `${stage.api.proxyFeed?.url}/proxy/v1/feed?nonce=a-nonce-of-one-connection`;
    const feeds = [await openReading(url, { tls: proxyTls(stage, identity) })];
    return { feeds, revoke: () => say(tenant, 'revokeProxy', { proxyId: proxy.id }) };
  },
};

test('what is open ends when the right to it does, and nothing else', { timeout: 60_000 }, async () => {
  const made = new Map<string, Case>();
  // A tenant has four feeds at once at most.
  for (const [index, [name, make]] of Object.entries(cases).entries())
    made.set(name, await make(index % 2 === 0 ? acme : other));
  for (const [name, { feeds }] of made)
    for (const feed of feeds) {
      assert.equal(feed.status, 200, name);
      const first = await feed.next();
      assert.ok(first !== undefined && !first.includes('errors'), `${name}: ${first}`);
    }
  const lasting = await subscribe(acme.client.token as string, subscriptions['deviceChanged'] as string);
  await lasting.next();
  await Promise.all(
    [...made].map(async ([name, { feeds, revoke }]) => {
      const answer = await revoke();
      assert.ok(!['Refusal', 'Fault'].includes(answer.__typename), `${name}: ${JSON.stringify(answer)}`);
      for (const feed of feeds) while ((await feed.next()) !== undefined);
    }),
  );
  await say(acme, 'registerDevice', { name: 'Phone', platform: 'IOS' });
  await lasting.until((piece) => (piece.includes('deviceChanged') ? true : undefined));
  lasting.close();
});
