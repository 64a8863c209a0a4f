/**
 * Tenants apart: what the roles that read may see and do, and that all of it works without a superuser.
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';
import { openDeps } from '../../platform/deps.ts';
import { asTenant, openSql, readerRole } from '../../platform/sql.ts';
import { listDevices } from '../../projections/devices.ts';
import { projections } from '../../projections/index.ts';
import { asOperator, operatorRole } from '../../projections/operator.ts';
import { schemaOf } from '../../projections/projection.ts';
import { listTenants } from '../../projections/tenants.ts';
import { type Servers, startServers, testLog } from '../support/servers.ts';
import { projectTo } from './stage.ts';
import { type Story, tellStory } from './story.ts';

let servers: Servers;
let acme: Story;
let other: Story;

before(async () => {
  servers = await startServers();
  acme = await tellStory(servers.deps, 'Acme');
  other = await tellStory(servers.deps, 'Other');
  await projectTo(servers.deps, other.position);
});
after(() => servers.stop());

const tables = projections.flatMap((projection) =>
  projection.tables.map(({ name, operator }) => ({ schema: schemaOf(projection), name, operator })),
);
/** The licence is the operator tenant's alone. */
const tenantTables = tables.filter(({ name }) => name !== 'licence');
const denied = (error: { code?: string }) => error.code === '42501';

test('a tenant sees its own rows in every table and no others', async () => {
  const { sql } = servers.deps;
  for (const { schema, name } of tenantTables) {
    for (const { tenantId } of [acme, other]) {
      const seen = await asTenant(
        sql,
        tenantId,
        (tx) => tx<{ tenant: string }[]>`select distinct tenant_id as tenant from read.${tx(name)}`,
      );
      assert.deepEqual(
        seen.map(({ tenant }) => tenant),
        [tenantId],
        name,
      );
      const below = await asTenant(
        sql,
        tenantId,
        (tx) => tx<{ tenant: string }[]>`select distinct tenant_id as tenant from ${tx(`${schema}.${name}`)}`,
      );
      assert.deepEqual(
        below.map(({ tenant }) => tenant),
        [tenantId],
        `${schema}.${name}`,
      );
    }
  }
});

test('the reader without a tenant sees nothing, and writes nothing with one', async () => {
  const { sql } = servers.deps;
  for (const { schema, name } of tables) {
    const seen = await sql.begin(async (tx) => {
      await tx`select set_config('role', ${readerRole}, true)`;
      return tx`select from read.${tx(name)}`;
    });
    assert.equal(seen.length, 0, name);
    for (const statement of [
      `delete from ${schema}.${name}`,
      `update ${schema}.${name} set tenant_id = tenant_id`,
      `insert into ${schema}.${name} select * from ${schema}.${name}`,
      `truncate ${schema}.${name}`,
    ]) {
      await assert.rejects(
        asTenant(sql, acme.tenantId, (tx) => tx.unsafe(statement)),
        denied,
        statement,
      );
    }
  }
  await assert.rejects(
    asTenant(sql, acme.tenantId, (tx) => tx`select * from read.checkpoints`),
    denied,
  );
  await assert.rejects(
    asTenant(sql, acme.tenantId, (tx) => tx`select * from write_side.snapshots`),
    denied,
  );
});

test('the roles own nothing and cannot bypass row-level security, which is forced on every table', async () => {
  const { sql } = servers.deps;
  const roles = await sql<{ able: boolean }[]>`
    select rolsuper or rolbypassrls or rolcanlogin or rolcreaterole or rolcreatedb as able
    from pg_roles where rolname in (${readerRole}, ${operatorRole})`;
  assert.deepEqual(
    roles.map(({ able }) => able),
    [false, false],
  );
  const open = await sql<{ table: string }[]>`
    select c.oid::regclass::text as table from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname ~ '_v[0-9]+$' and c.relkind = 'r' and not (c.relrowsecurity and c.relforcerowsecurity)`;
  assert.equal(open.length, 0);
  const unsafe = await sql<{ view: string }[]>`
    select c.relname as view from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = 'read' and c.relkind = 'v'
      and not coalesce(c.reloptions, '{}') @> array['security_invoker=true']`;
  assert.equal(unsafe.length, 0);
});

test('the operator role sees across tenants only what was made for it', async () => {
  const { sql } = servers.deps;
  assert.deepEqual(
    (await listTenants(sql, { first: 10 })).rows.map(({ name }) => name),
    ['Acme', 'Other'],
  );
  for (const { schema, name, operator } of tables) {
    await assert.rejects(
      asOperator(sql, (tx) => tx`select * from read.${tx(name)}`),
      denied,
      name,
    );
    // Of counts alone there is nothing to hide.
    if (name !== 'tenant_activity')
      await assert.rejects(
        asOperator(sql, (tx) => tx.unsafe(`select * from ${schema}.${name}`)),
        denied,
        name,
      );
    await assert.rejects(
      asOperator(sql, (tx) => tx.unsafe(`delete from ${schema}.${name}`)),
      denied,
    );
    if (!operator) continue;
    const rows = await asOperator(sql, (tx) => tx`select * from read.${tx(operator.view)}`);
    assert.deepEqual(Object.keys(rows[0] ?? {}), operator.columns);
  }
});

test('a database user that is no superuser projects and reads the same', async () => {
  const user = `owner_${randomUUID().replaceAll('-', '')}`;
  const { sql } = servers.deps;
  await sql.unsafe(`create role ${user} login createrole password 'secret'`);
  const database = `db_${user}`;
  await sql.unsafe(`create database ${database} owner ${user}`);
  // The roles exist already in this cluster: a creator of roles may hand out only what it may administer.
  await sql.unsafe(`grant ${readerRole}, ${operatorRole} to ${user}`);
  const url = new URL(servers.databaseUrl);
  url.username = user;
  url.password = 'secret';
  url.pathname = `/${database}`;
  const deps = await openDeps({ databaseUrl: url.toString(), eventStoreUrl: servers.eventStoreUrl }, testLog);
  try {
    await projectTo(deps, other.position);
    for (const story of [acme, other]) {
      const { rows } = await listDevices(deps.sql, story.tenantId, {}, { first: 10 });
      assert.equal(rows.length, 4);
      assert.ok(rows.every(({ tenantId }) => tenantId === story.tenantId));
    }
    assert.equal((await listTenants(deps.sql, { first: 10 })).rows.length, 2);
  } finally {
    await deps.close();
    const admin = openSql(servers.databaseUrl, { max: 1 });
    await admin.unsafe(`drop database ${database} with (force)`);
    await admin.unsafe(`drop role ${user}`);
    await admin.end();
  }
});
