/**
 * Everybody who may call: an account of each role, accounts that are not ready, keys, a user of the portal, a device
 * and a proxy of one tenant, and what the documentation promises each of them. Sessions are opened in the vault, since
 * signing in is other tests' subject and costs a hash each time.
 * Called by test/api/{permissions,routes,revocation,isolation-matrix}.test.ts.
 */
import { readFileSync } from 'node:fs';
import { openPortalSessions } from '../../api/vault/portal-sessions.ts';
import { openSessions } from '../../api/vault/sessions.ts';
import { isOperatorPermission, type Permission, permissionNames } from '../../domain/account/permissions.ts';
import { type Role, roles } from '../../domain/account/roles.ts';
import type { AccountId, TenantId, UserId } from '../../domain/ids.ts';
import { systemClock } from '../../platform/clock.ts';
import type { KeyPairPem } from '../../platform/pki.ts';
import type { ApiStage, TenantStage } from './stage.ts';
import type { World } from './world.ts';

export const roleNames = Object.keys(roles) as Role[];

/** Permissions of the two keys: whatever a tenant may give, and next to nothing. */
export const keyPermissions = {
  key: permissionNames.filter((name) => !isOperatorPermission(name)),
  'narrow-key': ['tenant.read'],
} as const satisfies Record<string, readonly Permission[]>;
export type Key = keyof typeof keyPermissions;

export const others = [
  'nobody',
  'newcomer',
  'factorless',
  'key',
  'narrow-key',
  'user',
  'device',
  'proxy',
] as const;
export type Caller = Role | (typeof others)[number];
export const everybody: readonly Caller[] = [...others, ...roleNames];

/** A session of an account, opened as signing in would. */
export const openSession = async (
  { deps }: ApiStage,
  tenantId: TenantId,
  accountId: AccountId,
): Promise<string> => {
  const how = { portal: 'admin', address: '127.0.0.1', userAgent: null, method: 'password' } as const;
  const opening = { tenantId, accountId, ...how, vouched: false };
  return (await openSessions(deps.sql, systemClock).open(opening)).token;
};

/** Creates an account and lets it call; `chosen` tells whether its owner has chosen a password already. */
export const hire = async (
  stage: ApiStage,
  { tenantId, client, slug }: Pick<TenantStage, 'tenantId' | 'client' | 'slug'>,
  name: string,
  role: string,
  chosen = true,
): Promise<{ accountId: AccountId; token: string }> => {
  const email = `${name}@${slug}.example`;
  const { account } = await client.mutate(
    'createAccount',
    { email, name, role },
    'AccountPasswordPayload',
    'account { id }',
  );
  const accountId = account.id as AccountId;
  if (chosen)
    await stage.deps.sql`update vault.passwords set must_change = false where account_id = ${accountId}`;
  return { accountId, token: await openSession(stage, tenantId, accountId) };
};

const nameOf = (permission: Permission): string => permission.toUpperCase().replace(/\W/g, '_');

/** Makes a key with these permissions. */
export const makeKey = async (
  { client }: TenantStage,
  permissions: readonly Permission[],
): Promise<{ apiKeyId: string; token: string }> => {
  const made = await client.mutate(
    'createApiKey',
    { name: 'Cast', permissions: permissions.map(nameOf) },
    'ApiKeyTokenPayload',
    'token apiKey { id }',
  );
  return { apiKeyId: made.apiKey.id, token: made.token };
};

/** How a caller connects to the listener for proxies: with its certificate, or as anybody without one. */
export const proxyTls = (
  { api }: Pick<ApiStage, 'api'>,
  identity?: KeyPairPem,
): { ca: string; cert?: string; key?: string } => ({
  ca: api.proxyFeed?.authorityPem ?? '',
  ...(identity === undefined ? {} : { cert: identity.certificate, key: identity.key }),
});

/** Tokens of everybody; nobody has none. The operator is of the operator tenant. */
export const castOf = async (
  stage: ApiStage,
  tenant: TenantStage,
  world: Pick<World, 'userId' | 'deviceToken'>,
): Promise<ReadonlyMap<Caller, string | undefined>> => {
  const { viewer } = await stage.operator.query('{ viewer { tenantId } }');
  const headquarters = { tenantId: viewer.tenantId, client: stage.operator, slug: 'operator' };
  const strict = await stage.tenant(`${tenant.slug}-strict`);
  await strict.client.mutate('requireSecondFactor', { required: true }, 'Effect', 'pending');
  const portal = await openPortalSessions(stage.deps.sql, systemClock).open(
    tenant.tenantId,
    world.userId as UserId,
  );
  const cast = new Map<Caller, string | undefined>([
    ['nobody', undefined],
    ['newcomer', (await hire(stage, tenant, 'newcomer', 'administrator', false)).token],
    ['factorless', strict.client.token],
    ['key', (await makeKey(tenant, keyPermissions.key)).token],
    ['narrow-key', (await makeKey(tenant, keyPermissions['narrow-key'])).token],
    ['user', portal.token],
    ['device', world.deviceToken],
    // It has a certificate, and that counts on the listener for proxies alone: proxyTls.
    ['proxy', undefined],
  ]);
  for (const role of roleNames) {
    const { token } = await hire(stage, role === 'operator' ? headquarters : tenant, role, role);
    cast.set(role, token);
  }
  return cast;
};

const documentation = readFileSync('docs/reference/permissions.md', 'utf8');
const cellsOf = (row: string): string[] => row.split('|').map((cell) => cell.trim());

/** Rows of a table of docs/reference/permissions.md: first cell → column → cell. */
const tableUnder = (title: string): ReadonlyMap<string, ReadonlyMap<string, string>> => {
  const section = documentation.split(/^## /m).find((text) => text.startsWith(`${title}\n`)) ?? '';
  const [head = '', , ...rows] = section.split('\n').filter((line) => line.startsWith('| '));
  const columns = cellsOf(head).slice(1, -1);
  return new Map(
    rows.map((row) => {
      const cells = cellsOf(row).slice(1, -1);
      return [cells[0] as string, new Map(columns.map((column, index) => [column, cells[index] ?? '']))];
    }),
  );
};

/** The matrices of the documentation. */
export const documented = {
  fields: tableUnder('GraphQL'),
  routes: tableUnder('Routes'),
  kinds: tableUnder('Kinds of caller'),
};

/** Codes between backticks: what a field or route needs. */
export const needsOf = (row: ReadonlyMap<string, string> | undefined): string[] =>
  [...(row?.get('Needs') ?? '').matchAll(/`([^`]+)`/g)].map(([, name]) => name as string);

const kindOf = (caller: Caller, needs: readonly string[]): string => {
  if (!(caller in keyPermissions)) return caller;
  const held: readonly string[] = keyPermissions[caller as Key];
  const asked = needs.filter((name) => (permissionNames as readonly string[]).includes(name));
  return asked.every((name) => held.includes(name)) ? 'permitted-key' : 'unpermitted-key';
};

/** What a row promises to a caller: `yes` or the code of a fault. `kinds` is the row for kinds of caller. */
export const promisedTo = (
  caller: Caller,
  row: ReadonlyMap<string, string> | undefined,
  kinds: ReadonlyMap<string, string> | undefined,
): string | undefined => {
  const isRole = (roleNames as readonly string[]).includes(caller);
  if (!isRole) return kinds?.get(kindOf(caller, needsOf(row)));
  return row?.get(caller) === 'yes' ? 'yes' : kinds?.get('unpermitted');
};

/** Does `work` for all, some at a time: most of the time of a call is waiting. */
export const forAll = async <Item>(
  items: readonly Item[],
  work: (item: Item) => Promise<void>,
  atOnce = 8,
): Promise<void> => {
  const queue = [...items];
  const loop = async () => {
    for (let item = queue.shift(); item !== undefined; item = queue.shift()) await work(item);
  };
  await Promise.all(Array.from({ length: atOnce }, loop));
};
