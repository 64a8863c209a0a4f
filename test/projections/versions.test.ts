/**
 * New versions of projections: built beside the live one, which keeps answering; swapped in at once; the old dropped.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { groupDecider } from '../../domain/group/decide.ts';
import { openProjectionWaiter } from '../../projections/await.ts';
import { listGroups } from '../../projections/groups.ts';
import { projections } from '../../projections/index.ts';
import type { Projection } from '../../projections/projection.ts';
import { listProxies } from '../../projections/proxies.ts';
import { type Servers, startServers } from '../support/servers.ts';
import { dump, projectTo, startProjector } from './stage.ts';
import { type Story, speaker, tellStory } from './story.ts';

let servers: Servers;
let acme: Story;
let other: Story;
const page = { first: 10 };

before(async () => {
  servers = await startServers();
  acme = await tellStory(servers.deps, 'Acme');
  other = await tellStory(servers.deps, 'Other');
  await projectTo(servers.deps, other.position);
});
after(() => servers.stop());

/** The registry with groups at its next version: one more column, and a gate before its first batch. */
const withNextGroups = (gate: Promise<void>, entered: () => void): Projection[] =>
  projections.map((projection) =>
    projection.name === 'groups'
      ? {
          ...projection,
          version: projection.version + 1,
          tables: projection.tables.map((table) => ({
            ...table,
            columns: `extra text default 'new', ${table.columns}`,
          })),
          apply: async (tx, events) => {
            entered();
            await gate;
            await projection.apply(tx, events);
          },
        }
      : projection,
  );

const schemas = async (): Promise<string[]> => {
  const rows = await servers.deps.sql<{ name: string }[]>`
    select nspname as name from pg_namespace where nspname like 'groups\\_v%' order by 1`;
  return rows.map(({ name }) => name);
};

test('a new version catches up beside the live one, then the views lead to it', async () => {
  const { deps } = servers;
  const before = await dump(deps.sql);
  let open: () => void = () => {};
  const gate = new Promise<void>((resolve) => {
    open = resolve;
  });
  let entered: () => void = () => {};
  const building = new Promise<void>((resolve) => {
    entered = resolve;
  });
  const projector = await startProjector(deps, { projections: withNextGroups(gate, entered) });
  const waiter = await openProjectionWaiter(deps);
  try {
    await building;
    assert.deepEqual(await schemas(), ['groups_v2', 'groups_v3']);
    assert.equal(projector.state().status, 'catching-up');
    const group = async (story: Story) => (await listGroups(deps.sql, story.tenantId, page)).rows[0];
    assert.equal((await group(acme))?.name, 'Field sales');
    assert.equal((await group(other))?.groupId, other.groupId);
    // The others go on meanwhile.
    const advanced = new Promise<void>((resolve) => {
      waiter.onAdvance(() => resolve());
    });
    const { say, position } = speaker(deps, acme.tenantId);
    await say(groupDecider, acme.groupId, { type: 'RenameGroup', name: 'Renamed meanwhile' });
    await advanced;
    assert.equal((await listProxies(deps.sql, acme.tenantId, page)).rows.length, 1);
    assert.equal((await group(acme))?.name, 'Field sales');
    open();
    assert.ok(await waiter.reached(position(), 20_000));
    assert.equal((await group(acme))?.name, 'Renamed meanwhile');
    assert.deepEqual(await schemas(), ['groups_v3']);
    const rows = await deps.sql<{ extra: string }[]>`select extra from read.groups`;
    assert.deepEqual(
      rows.map(({ extra }) => extra),
      ['new', 'new'],
    );
    assert.deepEqual((await dump(deps.sql))['devices'], before['devices']);
  } finally {
    open();
    await waiter.close();
    await projector.stop();
  }
});

test('going back to the version before builds it again', async () => {
  const { deps } = servers;
  await projectTo(deps, other.position);
  const waiter = await openProjectionWaiter(deps);
  const projector = await startProjector(deps);
  const { say, position } = speaker(deps, other.tenantId);
  await say(groupDecider, other.groupId, { type: 'RenameGroup', name: 'Back again' });
  assert.ok(await waiter.reached(position(), 20_000));
  await waiter.close();
  await projector.stop();
  assert.deepEqual(await schemas(), ['groups_v2']);
  assert.equal((await listGroups(deps.sql, acme.tenantId, page)).rows[0]?.name, 'Renamed meanwhile');
  assert.equal((await listGroups(deps.sql, other.tenantId, page)).rows[0]?.name, 'Back again');
});

test('tables, views or one schema dropped: the answers come back from the log', async () => {
  const { deps } = servers;
  const before = await dump(deps.sql);
  const [last] = await deps.sql<
    { position: bigint }[]
  >`select max(position) as position from read.checkpoints`;
  for (const damage of [
    'drop schema read cascade',
    'drop schema groups_v2 cascade',
    'drop table devices_v1.devices cascade',
    'drop view read.proxies',
    'delete from read.checkpoints',
  ]) {
    await deps.sql.unsafe(damage);
    await projectTo(deps, last?.position as bigint);
    assert.deepEqual(await dump(deps.sql), before, damage);
  }
});

test('a projection that is no longer registered leaves nothing behind', async () => {
  const { deps } = servers;
  const without = projections.filter(({ name }) => name !== 'groups');
  await projectTo(deps, other.position, { projections: without });
  assert.deepEqual(await schemas(), []);
  const [row] = await deps.sql`select from read.checkpoints where name = 'groups'`;
  assert.equal(row, undefined);
});
