/**
 * Keyset pages: every row once, whatever comes and goes meanwhile; late pages cost what the first one costs.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { TenantId } from '../../domain/ids.ts';
import { MusterError } from '../../platform/errors.ts';
import { newId } from '../../platform/new-id.ts';
import { readerRole } from '../../platform/sql.ts';
import { listAudit } from '../../projections/audit.ts';
import { listDevices } from '../../projections/devices.ts';
import { type Servers, startServers } from '../support/servers.ts';
import { startProjector } from './stage.ts';

let servers: Servers;
const tenants: [TenantId, TenantId] = [newId('ten'), newId('ten')];
const fleet = 20_000;

/** Rows as the projection writes them, in bulk: what is tested here is how they are read. */
before(async () => {
  servers = await startServers();
  await (await startProjector(servers.deps)).stop();
  for (const [index, tenantId] of tenants.entries()) {
    await servers.deps.sql.unsafe(`
      insert into devices_v1.devices
        (tenant_id, device_id, name, name_key, platform, ownership, status, mail_verdict, mail_reason,
         open_task_count, changed_position, revision, state)
      select '${tenantId}', 'dev' || lpad(n::text, 26, '0'), 'Device ' || (n % 100), 'device ' || (n % 100), 'android',
        'corporate', 'enrolled', 'allow', '', 0, n * 2 + ${index}, 0, '{"inventory":{},"policies":{}}'
      from generate_series(1, ${fleet}) n`);
  }
  await servers.deps.sql.unsafe('analyze devices_v1.devices');
});
after(() => servers.stop());

const [mine, theirs] = tenants;

test('pages hold every row of the tenant once, in order, and none of the other', async () => {
  const { sql } = servers.deps;
  const seen: string[] = [];
  let after: string | undefined;
  do {
    const page = await listDevices(sql, mine, {}, { first: 100, after });
    assert.ok(page.rows.every(({ tenantId }) => tenantId === mine));
    seen.push(...page.rows.map(({ name, deviceId }) => `${name.toLowerCase()}/${deviceId}`));
    after = page.hasNextPage ? page.cursors.at(-1) : undefined;
  } while (after !== undefined);
  assert.equal(seen.length, fleet);
  assert.equal(new Set(seen).size, fleet);
  assert.deepEqual(seen, [...seen].sort());
});

test('rows that come and go elsewhere move no row of the pages to come', async () => {
  const { sql } = servers.deps;
  const first = await listDevices(sql, mine, {}, { first: 10 });
  const expected = await listDevices(sql, mine, {}, { first: 10, after: first.cursors.at(-1) });
  const gone = first.rows[3]?.deviceId as string;
  await sql.unsafe(`delete from devices_v1.devices where tenant_id = '${mine}' and device_id = '${gone}'`);
  const next = await listDevices(sql, mine, {}, { first: 10, after: first.cursors.at(-1) });
  assert.deepEqual(next.rows, expected.rows);
  const between = await listDevices(sql, mine, {}, { first: 10, after: first.cursors[3] });
  assert.deepEqual(between.rows.slice(0, 6), first.rows.slice(4));
  const other = await listDevices(sql, theirs, {}, { first: 10 });
  assert.equal(other.rows[3]?.deviceId, gone);
});

test('a late page reads no more blocks than the first', async () => {
  const { sql } = servers.deps;
  const blocks = async (condition: string): Promise<number> => {
    const explained = await sql.begin(async (tx) => {
      await tx`select set_config('role', ${readerRole}, true), set_config('muster.tenant_id', ${mine}, true)`;
      return tx.unsafe<{ 'QUERY PLAN': { Plan: Record<string, number> }[] }[]>(`
        explain (analyze, buffers, format json)
        select d.name from read.devices d left join read.device_app_counts a on a.device_id = d.device_id
        where ${condition} order by d.name_key, d.device_id limit 101`);
    });
    const plan = explained[0]?.['QUERY PLAN'][0]?.Plan ?? {};
    return (plan['Shared Hit Blocks'] ?? 0) + (plan['Shared Read Blocks'] ?? 0);
  };
  const early = await blocks('true');
  const late = await blocks(`(d.name_key, d.device_id) > ('device 98', 'dev')`);
  assert.ok(early > 0 && late <= early * 1.5, `first page ${early} blocks, late page ${late}`);
});

test('what is no page is refused, naming the argument', async () => {
  const { sql } = servers.deps;
  const fault = (field: string) => (error: unknown) =>
    error instanceof MusterError && error.code === 'invalid-input' && error.field === field;
  for (const first of [0, 101, -1, 1.5, Number.NaN])
    await assert.rejects(listDevices(sql, mine, {}, { first }), fault('first'));
  const { cursors } = await listDevices(sql, mine, {}, { first: 1 });
  const cursorOf = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const bad = ['', '%', 'null', cursorOf({}), cursorOf(['a']), cursorOf(['a', 1]), cursorOf(['a', '\0'])];
  for (const after of bad)
    await assert.rejects(listDevices(sql, mine, {}, { first: 1, after }), fault('after'));
  await assert.rejects(listAudit(sql, mine, {}, { first: 1, after: cursors[0] }), fault('after'));
});
