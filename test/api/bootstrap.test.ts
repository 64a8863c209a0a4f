/**
 * The first start: one operator however many processes start, however often one dies half-way.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { bootstrapOperator } from '../../api/bootstrap.ts';
import { openCredentials } from '../../api/credentials.ts';
import { operatorTenantId } from '../../api/reservation.ts';
import type { AccountId } from '../../domain/ids.ts';
import type { Deps } from '../../platform/deps.ts';
import { openDeps } from '../../platform/deps.ts';
import { MusterError } from '../../platform/errors.ts';
import { type Servers, startServers, testLog } from '../support/servers.ts';

let servers: Servers;
let aheadMs = 0;

before(async () => {
  servers = await startServers({ clock: () => Date.now() + aheadMs });
});
after(() => servers.stop());

const vault = { sessionIdleMinutes: 60, secretKey: undefined, dataDir: '' };
const first = { tenantId: operatorTenantId, accountId: `acc${'0'.repeat(26)}` as AccountId };
const eventTypes = async (): Promise<string[]> => {
  const types: string[] = [];
  for await (const event of servers.deps.store.readAll({ tenantId: operatorTenantId }))
    types.push(event.type);
  return types;
};

test('a process that dies before the password was stored leaves nothing that hinders the next', async () => {
  const { deps } = servers;
  const dying: Deps = {
    ...deps,
    sql: new Proxy(deps.sql, {
      get: (target, key) => {
        if (key === 'begin') throw new MusterError('dependency-unavailable', 'the process died');
        return Reflect.get(target, key);
      },
    }),
  };
  await assert.rejects(bootstrapOperator(dying), /died/);
  assert.ok((await eventTypes()).includes('AccountCreated'));
});

test('two processes that start together make one operator and one password', async () => {
  const { databaseUrl, eventStoreUrl } = servers;
  const second = await openDeps({ databaseUrl, eventStoreUrl }, testLog);
  try {
    const started = await Promise.all([bootstrapOperator(servers.deps), bootstrapOperator(second)]);
    const issued = started.flatMap(({ password }) => password ?? []);
    assert.equal(issued.length, 1);
    assert.equal(started.filter(({ created }) => created).length, 1);
    const { passwords } = await openCredentials(servers.deps, vault);
    const check = await passwords.check(first, issued[0] as string);
    assert.deepEqual([check.valid, check.mustChange], [true, true]);
    const types = await eventTypes();
    assert.equal(types.filter((type) => type === 'TenantCreated').length, 1);
    assert.equal(types.filter((type) => type === 'AccountCreated').length, 1);
    assert.ok(!JSON.stringify(types).includes(issued[0] as string));
  } finally {
    await second.close();
  }
});

test('a start soon after issues no other password; one later does, until somebody signed in', async () => {
  const { deps } = servers;
  assert.equal((await bootstrapOperator(deps)).password, undefined);
  aheadMs += 61_000;
  const { password } = await bootstrapOperator(deps);
  assert.match(password ?? '', /^[0-9A-Z]{4}(-[0-9A-Z]{4}){3}$/);
  const { passwords } = await openCredentials(deps, vault);
  assert.ok((await passwords.check(first, password as string)).valid);
  await passwords.recordSignIn(first);
  aheadMs += 61_000;
  const { created, email, tenantSlug } = await bootstrapOperator(deps);
  assert.deepEqual([created, email, tenantSlug], [false, 'operator@muster.local', 'operator']);
  assert.ok((await passwords.check(first, password as string)).valid);
});

test('the vault holds no password and no token, only their digests', async () => {
  const { deps } = servers;
  const { passwords, sessions } = await openCredentials(deps, vault);
  await passwords.choose(first, 'correct horse battery staple');
  const { token } = await sessions.open({
    ...first,
    portal: 'admin',
    address: '192.0.2.1',
    userAgent: null,
    method: 'password',
    vouched: false,
  });
  const rows = await deps.sql`
    select to_jsonb(p)::text as row from vault.passwords p union all select to_jsonb(s)::text from vault.sessions s`;
  const all = JSON.stringify(rows);
  assert.match(all, /argon2id\$v=19\$m=19456,t=2,p=1/);
  assert.ok(!all.includes('correct horse') && !all.includes(token.split('.')[1] as string));
});

test('a vault that a newer Muster migrated is left alone', async () => {
  const { deps } = servers;
  await deps.sql`insert into vault.migrations (number) values (9999)`;
  await assert.rejects(
    openCredentials(deps, vault),
    (error: MusterError) => error.code === 'config-invalid' && /9999/.test(error.message),
  );
  await deps.sql`delete from vault.migrations where number = 9999`;
});
