/**
 * The projector under faults: killed anywhere it goes on where it was, and what it cannot read stops it loudly.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { deviceDecider } from '../../domain/device/decide.ts';
import { MusterError } from '../../platform/errors.ts';
import { newId, newUuid } from '../../platform/new-id.ts';
import { openProjectionWaiter } from '../../projections/await.ts';
import { findDevice } from '../../projections/devices.ts';
import { projections } from '../../projections/index.ts';
import type { Projection } from '../../projections/projection.ts';
import { type Servers, startServers } from '../support/servers.ts';
import { dropReadModels, dump, projectTo, startProjector } from './stage.ts';
import { checkingIn, type Story, speaker, tellStory } from './story.ts';

let servers: Servers;
let acme: Story;
let other: Story;
let built: Record<string, string[]>;

before(async () => {
  servers = await startServers();
  acme = await tellStory(servers.deps, 'Acme');
  other = await tellStory(servers.deps, 'Other');
  await projectTo(servers.deps, other.position);
  built = await dump(servers.deps.sql);
});
after(() => servers.stop());

/** The registry with one projection that, after it wrote its rows, does something worse every `period`th time. */
const faulty = (name: string, period: number, fault: () => Promise<void>): Projection[] => {
  let applied = 0;
  return projections.map((projection) =>
    projection.name === name
      ? {
          ...projection,
          apply: async (tx, events) => {
            await projection.apply(tx, events);
            applied += 1;
            if (applied % period === 0) await fault();
          },
        }
      : projection,
  );
};

test('a fault inside a transaction undoes the whole batch, which is then applied again', async () => {
  await dropReadModels(servers.deps.sql);
  let thrown = 0;
  const failing = faulty('tasks', 3, async () => {
    thrown += 1;
    throw new MusterError('dependency-unavailable', 'thrown by the test');
  });
  await projectTo(servers.deps, other.position, { projections: failing, maxBatch: 25 });
  assert.ok(thrown > 0);
  assert.deepEqual(await dump(servers.deps.sql), built);
});

test('losing every database connection in the middle loses and repeats nothing', async () => {
  const { deps } = servers;
  await dropReadModels(deps.sql);
  let cut = 0;
  const cutting = faulty('devices', 2, async () => {
    if (cut === 3) return;
    cut += 1;
    await deps.sql`
      select pg_terminate_backend(pid) from pg_stat_activity
      where datname = current_database() and pid <> pg_backend_pid() and application_name like 'muster%'`;
  });
  await projectTo(deps, other.position, { projections: cutting, maxBatch: 10 });
  assert.equal(cut, 3);
  assert.deepEqual(await dump(deps.sql), built);
});

test('stopped between batches, it goes on from its checkpoint', async () => {
  const { deps } = servers;
  await dropReadModels(deps.sql);
  let halted: () => void = () => {};
  const half = new Promise<void>((resolve) => {
    halted = resolve;
  });
  const seen: bigint[] = [];
  const recording = projections.map((projection): Projection => {
    if (projection.name !== 'audit') return projection;
    return {
      ...projection,
      apply: async (tx, events) => {
        await projection.apply(tx, events);
        seen.push(...events.map(({ position }) => position));
        if (seen.length > 40) halted();
      },
    };
  });
  const first = await startProjector(deps, { projections: recording, maxBatch: 5 });
  await half;
  await first.stop();
  const [row] = await deps.sql<{ position: bigint }[]>`
    select distinct position from read.checkpoints`;
  const committed = row?.position as bigint;
  assert.ok(committed < other.position, 'stopped too late to prove anything');
  seen.length = 0;
  await projectTo(deps, other.position, { projections: recording, maxBatch: 5 });
  assert.ok(
    seen.every((position) => position > committed),
    'an event was applied again',
  );
  assert.deepEqual(await dump(deps.sql), built);
});

test('a second projector stands by and takes over', async () => {
  const { deps } = servers;
  const first = await startProjector(deps);
  const second = await startProjector(deps);
  const waiter = await openProjectionWaiter(deps);
  try {
    assert.equal(second.state().status, 'standby');
    assert.notEqual(first.state().status, 'standby');
    await first.stop();
    const { say, position } = speaker(deps, acme.tenantId);
    await say(deviceDecider, acme.devices.good, { type: 'RenameDevice', name: 'Taken over' });
    assert.ok(await waiter.reached(position(), 20_000));
    assert.equal((await findDevice(deps.sql, acme.tenantId, acme.devices.good))?.name, 'Taken over');
    assert.equal((await findDevice(deps.sql, other.tenantId, other.devices.good))?.name, 'Pixel');
    assert.equal(second.state().status, 'live');
  } finally {
    await waiter.close();
    await first.stop();
    await second.stop();
  }
});

test('an event that nobody can read stops it loudly, right before that event', async () => {
  const { deps } = servers;
  const { say, position } = speaker(deps, acme.tenantId);
  await say(deviceDecider, acme.devices.good, checkingIn());
  const readable = position();
  const stream = `device-${acme.tenantId}_${newId('dev')}`;
  const metadata = {
    tenantId: acme.tenantId,
    actor: { kind: 'system', id: 'future' },
    $causationId: newUuid(),
    $correlationId: newUuid(),
    schemaVersion: 1,
    at: new Date().toISOString(),
  } as const;
  await deps.store.append(stream, [{ id: newUuid(), type: 'DeviceTeleported', data: {}, metadata }], -1n);
  await say(deviceDecider, acme.devices.good, { type: 'RenameDevice', name: 'Never seen' });

  const fatal: unknown[][] = [];
  const log = Object.assign(Object.create(deps.log), { fatal: (...logged: unknown[]) => fatal.push(logged) });
  const projector = await startProjector({ ...deps, log });
  await assert.rejects(projector.failed, (error: MusterError) => error.code === 'event-unreadable');
  const state = projector.state();
  assert.equal(state.status, 'failed');
  assert.equal(state.position, readable);
  assert.match(state.reason ?? '', /DeviceTeleported/);
  assert.equal(fatal.length, 1);
  const device = await findDevice(deps.sql, acme.tenantId, acme.devices.good);
  assert.deepEqual([device?.name, device?.changedPosition], ['Taken over', readable]);
  await projector.stop();

  const again = await startProjector(deps);
  await assert.rejects(again.failed, (error: MusterError) => error.code === 'event-unreadable');
  await again.stop();
});
