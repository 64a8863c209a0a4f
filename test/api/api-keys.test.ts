/**
 * API keys: what they may do, when they end, and that every refusal leaves a trace.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { hashSecret } from '../../platform/new-id.ts';
import { type ApiStage, clientOf, openStage, type TenantStage } from './stage.ts';

let now = Date.parse('2026-01-10T12:00:00.000Z');
let stage: ApiStage;
let acme: TenantStage;
let other: TenantStage;

before(async () => {
  stage = await openStage({ clock: () => now });
  acme = await stage.tenant('acme');
  other = await stage.tenant('other');
});
after(() => stage.stop());

const makeKey = async (permissions: readonly string[], days = 90) => {
  const made = await acme.client.mutate(
    'createApiKey',
    { name: 'Reports', permissions, days },
    'ApiKeyTokenPayload',
    'token apiKey { id name status permissions expiresAt lastUse { usedAt address } }',
  );
  assert.equal(made.__typename, 'ApiKeyTokenPayload', JSON.stringify(made));
  return { ...made, client: clientOf(stage.api.url, made.token) };
};

test('a key reads what it may, in its own tenant, and tells when it was used', async () => {
  await acme.client.mutate('createGroup', { name: 'Mine' }, 'DeviceGroupPayload', 'pending');
  await other.client.mutate('createGroup', { name: 'Theirs' }, 'DeviceGroupPayload', 'pending');
  const { client, apiKey } = await makeKey(['GROUP_READ']);
  assert.deepEqual(apiKey.lastUse, null);
  assert.deepEqual(await client.query('{ groups { nodes { name } } }'), {
    groups: { nodes: [{ name: 'Mine' }] },
  });
  const { apiKeys } = await acme.client.query('{ apiKeys { nodes { id lastUse { usedAt address } } } }');
  const [used] = apiKeys.nodes.filter(({ id }: { id: string }) => id === apiKey.id);
  assert.deepEqual(used.lastUse, { usedAt: new Date(now).toISOString(), address: '127.0.0.1' });
  assert.deepEqual((await other.client.query('{ apiKeys { nodes { id } } }')).apiKeys.nodes, []);
});

test('what a key does is its own deed in the audit trail', async () => {
  const { client, apiKey } = await makeKey(['GROUP_MANAGE', 'GROUP_READ']);
  await client.mutate('createGroup', { name: 'Made by a key' }, 'DeviceGroupPayload', 'pending');
  const { audit } = await acme.client.query(
    '{ audit(first: 1) { nodes { type actor { kind id account { id } } } } }',
  );
  assert.deepEqual(audit.nodes, [
    { type: 'GroupCreated', actor: { kind: 'API_KEY', id: apiKey.id, account: null } },
  ]);
});

test('a key is no account: it has neither password nor session', async () => {
  const { client } = await makeKey(['GROUP_READ']);
  assert.equal((await client.raw('{ viewer { email } }')).errors[0]?.extensions.code, 'forbidden');
  const out = await client.mutate('signOut', { everywhere: true }, 'SignOutPayload', 'signedOut');
  assert.equal(out.code, 'forbidden');
});

test('a refusal for want of permission is audited: the first at once, repetitions counted', async () => {
  const { client, apiKey } = await makeKey(['GROUP_READ']);
  for (let round = 0; round < 5; round += 1)
    assert.equal((await client.raw('{ devices { nodes { id } } }')).errors[0]?.extensions.code, 'forbidden');
  const denials = async () => {
    const { audit } = await acme.client.query(
      'query($id: String!) { audit(entityId: $id, type: "AccessDenied") { nodes { actor { id } data } } }',
      { id: apiKey.id },
    );
    return audit.nodes;
  };
  for (;;) if ((await denials()).length > 0) break;
  const first = { operation: 'devices', permission: 'device.read', address: '127.0.0.1', count: 1 };
  const [denial, ...rest] = await denials();
  assert.deepEqual(rest, []);
  assert.deepEqual(denial.actor, { id: apiKey.id });
  const { since, until, ...told } = denial.data;
  assert.deepEqual([told, since], [first, until]);
  now += 600_001;
  await client.raw('{ devices { nodes { id } } }');
  for (;;) if ((await denials()).length === 3) break;
  assert.deepEqual(
    (await denials()).map(({ data }: { data: { count: number } }) => data.count).sort(),
    [1, 1, 4],
  );
});

test('a revoked or expired key, and anything like one, is nobody', async () => {
  const revoked = await makeKey(['GROUP_READ']);
  const short = await makeKey(['GROUP_READ'], 1);
  const { apiKey } = await acme.client.mutate(
    'revokeApiKey',
    { apiKeyId: revoked.apiKey.id },
    'ApiKeyPayload',
    'apiKey { status }',
  );
  assert.deepEqual(apiKey, { status: 'REVOKED' });
  const [kind, tenant, id, secret] = short.token.split('.');
  const forged = [
    revoked.token,
    `${short.token}x`,
    [kind, tenant, id, ''].join('.'),
    [kind, tenant, revoked.apiKey.id, secret].join('.'),
    [kind, other.tenantId, id, secret].join('.'),
    [kind, tenant, id, secret, secret].join('.'),
    [kind, tenant, id, hashSecret(secret)].join('.'),
  ];
  const codeOf = async (token: string) =>
    (await clientOf(stage.api.url, token).raw('{ groups { nodes { id } } }')).errors[0]?.extensions.code;
  for (const token of forged) assert.equal(await codeOf(token), 'unauthenticated', token);
  assert.equal(await codeOf(short.token), undefined);
  now += 86_400_000;
  assert.equal(await codeOf(short.token), 'unauthenticated');
});
