/**
 * Waiting for the read models: answered as soon as they have got there, never early, and across lost connections.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { deviceDecider } from '../../domain/device/decide.ts';
import { openProjectionWaiter, type ProjectionWaiter } from '../../projections/await.ts';
import { findDevice } from '../../projections/devices.ts';
import type { Projector } from '../../projections/main.ts';
import { type Servers, startServers } from '../support/servers.ts';
import { startProjector } from './stage.ts';
import { type Story, speaker, tellStory } from './story.ts';

let servers: Servers;
let story: Story;
let projector: Projector;
let waiter: ProjectionWaiter;

before(async () => {
  servers = await startServers();
  // Opened before anything was ever projected.
  waiter = await openProjectionWaiter(servers.deps);
  assert.equal(waiter.position(), -1n);
  story = await tellStory(servers.deps, 'Acme');
  projector = await startProjector(servers.deps);
});
after(async () => {
  await waiter.close();
  await projector.stop();
  await servers.stop();
});

const rename = async (name: string): Promise<bigint> => {
  const { say, position } = speaker(servers.deps, story.tenantId);
  await say(deviceDecider, story.devices.good, { type: 'RenameDevice', name });
  return position();
};
const nameNow = async () => (await findDevice(servers.deps.sql, story.tenantId, story.devices.good))?.name;

test('a caller that waits for its own effect reads it', async () => {
  for (const name of ['One', 'Two', 'Three']) {
    const position = await rename(name);
    assert.equal(await waiter.reached(position, 20_000), true);
    assert.equal(await nameNow(), name);
    assert.ok(waiter.position() >= position);
  }
});

test('what is not there yet is answered false when the time is over', async () => {
  assert.equal(await waiter.reached(waiter.position() + 1n, 20), false);
});

test('listeners hear of every advance until they stop listening', async () => {
  const heard: bigint[] = [];
  const stop = waiter.onAdvance((position) => heard.push(position));
  const broken = waiter.onAdvance(() => {
    throw new Error('thrown by the test');
  });
  const position = await rename('Heard');
  assert.ok(await waiter.reached(position, 20_000));
  assert.ok(heard.includes(position));
  stop();
  broken();
  const count = heard.length;
  assert.ok(await waiter.reached(await rename('Unheard'), 20_000));
  assert.equal(heard.length, count);
});

test('a lost connection is replaced, and nothing told meanwhile is missed', async () => {
  const { sql } = servers.deps;
  const ended = await sql`
    select pg_terminate_backend(pid) from pg_stat_activity
    where datname = current_database() and application_name = 'muster-await'`;
  assert.equal(ended.length, 1);
  const position = await rename('While away');
  assert.ok(await waiter.reached(position, 20_000));
  const again = await rename('Back');
  const advanced = new Promise<void>((resolve) => {
    const stop = waiter.onAdvance((at) => {
      if (at < again) return;
      stop();
      resolve();
    });
  });
  if (waiter.position() < again) await advanced;
  assert.equal(await nameNow(), 'Back');
});

test('closing answers those who wait', async () => {
  const other = await openProjectionWaiter(servers.deps);
  const waiting = other.reached(other.position() + 1_000_000n, 600_000);
  await other.close();
  assert.equal(await waiting, false);
  assert.equal(await other.reached(other.position() + 1_000_000n, 600_000), false);
});
