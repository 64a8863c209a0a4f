/** The write side on a real log: one command at a time, conflicts, stale caches, snapshots, outages. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { groupDecider } from '../../domain/group/decide.ts';
import type { GroupId, TenantId } from '../../domain/ids.ts';
import { isRefusal } from '../../domain/refusals.ts';
import { MusterError } from '../../platform/errors.ts';
import { openEventStore, type StoredEvent } from '../../platform/event-store.ts';
import { openHandler } from '../../platform/handle.ts';
import { newId, newUuid } from '../../platform/new-id.ts';
import { noSnapshots, openSnapshots, type SnapshotStore } from '../../platform/snapshots.ts';
import { type Servers, startServers, testLog } from '../support/servers.ts';
import { type CountCommand, type Counted, counter } from './counter.ts';

let servers: Servers;
let tenantId: TenantId;
before(async () => {
  servers = await startServers();
  tenantId = newId('ten');
});
after(() => servers.stop());

const open = (over: { snapshots?: SnapshotStore; cachedAggregates?: number; clock?: () => number } = {}) =>
  openHandler({ store: servers.deps.store, clock: Date.now, snapshots: noSnapshots, ...over });
type OpenHandler = ReturnType<typeof open>;
const cause = () => ({ actor: { kind: 'system', id: 'test' }, commandId: newUuid() }) as const;
const on = (id: string) => ({ tenantId, id });
const send = async (handler: OpenHandler, id: string, command: CountCommand, decider = counter()) => {
  const handled = await handler.handle<Counted, CountCommand, never>(
    decider as never,
    on(id),
    command,
    cause(),
  );
  if (isRefusal(handled)) throw new Error(JSON.stringify(handled.refused));
  return handled;
};
const append = (handler: OpenHandler, id: string, name = 'N', decider = counter()) =>
  send(handler, id, { type: 'Append', name }, decider);
const streamOf = async (id: string): Promise<StoredEvent[]> => {
  const events: StoredEvent[] = [];
  for await (const event of servers.deps.store.readStream(`group-${tenantId}_${id}`, 0n)) events.push(event);
  return events;
};

test('an accepted command answers its events, the state after them, their place; metadata says who and why', async () => {
  const id = newId('grp');
  const handled = await servers.deps.handler.handle(
    groupDecider,
    on(id),
    { type: 'CreateGroup', name: 'Sales' },
    { actor: { kind: 'account', id: 'acc1' }, commandId: 'c1', correlationId: 'k1', causationId: 'x1' },
  );
  assert.ok(!isRefusal(handled));
  assert.deepEqual(handled.events, [{ type: 'GroupCreated', data: { name: 'Sales' } }]);
  assert.equal(handled.revision, 0n);
  const [stored] = await streamOf(id);
  assert.equal(stored?.position, handled.position);
  const { at, ...metadata } = stored?.metadata ?? { at: '' };
  assert.match(at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  assert.deepEqual(metadata, {
    tenantId,
    actor: { kind: 'account', id: 'acc1' },
    $causationId: 'x1',
    $correlationId: 'k1',
    schemaVersion: 1,
  });
});

test('commands on one stream run one after another: none conflicts, none is lost', async () => {
  const id = newId('grp');
  const handler = open();
  const handled = await Promise.all(
    Array.from({ length: 20 }, (_, index) => append(handler, id, `n${index}`)),
  );
  assert.deepEqual(
    handled.map(({ revision }) => revision),
    Array.from({ length: 20 }, (_, index) => BigInt(index)),
  );
  assert.equal((await streamOf(id)).length, 20);
});

test('a failed command does not hold up the next on its stream', async () => {
  const id = newId('grp');
  const handler = open();
  const failing = handler.handle(
    groupDecider,
    on(id),
    () => Promise.reject(new Error('no command')),
    cause(),
  );
  const next = append(handler, id);
  await assert.rejects(failing, /no command/);
  assert.equal((await next).revision, 0n);
});

test('two processes on one stream: conflicts are decided again on what the other wrote', async () => {
  const id = newId('grp');
  const [one, two] = [open(), open()];
  await append(one, id);
  await append(two, id);
  const rounds = Array.from({ length: 10 }, () => [append(one, id), append(two, id)]).flat();
  const revisions = (await Promise.all(rounds)).map(({ revision }) => Number(revision)).sort((a, b) => a - b);
  assert.deepEqual(
    revisions,
    Array.from({ length: 20 }, (_, index) => index + 2),
  );
  assert.deepEqual(
    (await streamOf(id)).map(({ revision }) => Number(revision)),
    Array.from({ length: 22 }, (_, index) => index),
  );
});

test('a conflict is decided anew: what the other wrote can make it a refusal, or nothing', async () => {
  const id = newId('grp');
  const [one, two] = [open(), open()];
  await append(one, id);
  await append(two, id);
  const refused = await one.handle(
    counter() as never,
    on(id),
    { type: 'AppendUntil', until: 2 } as never,
    cause(),
  );
  assert.deepEqual(refused, { refused: 'name-taken' });
  await append(two, id);
  const nothing = await send(one, id, { type: 'FillUntil', until: 3 });
  assert.deepEqual([nothing.events, nothing.revision, nothing.position], [[], 2n, undefined]);
});

test('a decision that appends nothing is not believed on a cached state', async () => {
  const id = newId('grp');
  const [one, two] = [open(), open()];
  await append(one, id, 'A');
  await servers.deps.handler.load(groupDecider, on(id));
  // `one` believes the name to be A; two renames it, so that renaming it to A is a change after all.
  await append(two, id, 'B');
  const handled = await one.handle(
    {
      ...counter(),
      decide: (_: unknown, state: Counted) =>
        state.count === 1 ? [] : [{ type: 'GroupRenamed' as const, data: { name: 'A' } }],
    },
    on(id),
    {},
    cause(),
  );
  assert.ok(!isRefusal(handled));
  assert.equal(handled.revision, 2n);
});

test('the same command sent twice after its acknowledgement was lost is decided on the log', async () => {
  const id = newId('grp');
  const command = { type: 'CreateGroup', name: 'Sales' } as const;
  const [one, two] = [open(), open()];
  const twice = { ...cause() };
  const first = await one.handle(groupDecider, on(id), command, twice);
  const second = await two.handle(groupDecider, on(id), command, twice);
  assert.ok(!isRefusal(first) && !isRefusal(second));
  assert.deepEqual([first.events.length, second.events.length], [1, 0]);
  assert.equal((await streamOf(id)).length, 1);
});

test('an event that its own schema rejects is never appended', async () => {
  const id = newId('grp');
  const handler = open();
  await assert.rejects(
    append(handler, id, ''),
    (error) => error instanceof MusterError && error.code === 'internal',
  );
  assert.deepEqual(await streamOf(id), []);
  assert.equal((await append(handler, id, 'fine')).revision, 0n);
});

test('more than the store takes at once is refused as too large, and nothing is stored', async () => {
  const id = newId('grp');
  const many = {
    ...counter(),
    decide: () =>
      Array.from({ length: 9000 }, () => ({
        type: 'GroupRenamed' as const,
        data: { name: 'x'.repeat(120) },
      })),
  };
  await assert.rejects(
    open().handle(many, on(id), {}, cause()),
    (error) => error instanceof MusterError && error.code === 'body-too-large',
  );
  assert.deepEqual(await streamOf(id), []);
});

test('load: within maxAgeMs the cache answers, beyond it the log; what does not exist is not remembered', async () => {
  const id = newId('grp');
  let now = 0;
  const [one, two] = [open({ clock: () => now }), open()];
  const decider = counter() as never;
  const count = async (maxAgeMs: number) =>
    (await one.load<Counted, never, never>(decider, on(id), { maxAgeMs })).state.count;
  assert.equal(await count(Number.POSITIVE_INFINITY), 0);
  await append(two, id);
  assert.equal(await count(Number.POSITIVE_INFINITY), 1);
  await append(two, id);
  assert.equal(await count(10), 1);
  now = 10;
  assert.equal(await count(10), 2);
  await append(two, id);
  assert.equal(await count(0), 3);
});

test('loads that may be a little old share one read; one that must be current reads for itself', async () => {
  const id = newId('grp');
  const { store } = servers.deps;
  await append(open(), id);
  let reads = 0;
  const counting = {
    ...store,
    readStream: (stream: string, fromRevision: bigint) => {
      reads += 1;
      return store.readStream(stream, fromRevision);
    },
  };
  const handler = openHandler({ store: counting, clock: Date.now, snapshots: noSnapshots });
  const load = (maxAgeMs: number) => handler.load(counter() as never, on(id), { maxAgeMs });
  const loaded = await Promise.all(Array.from({ length: 10 }, () => load(60_000)));
  assert.deepEqual(new Set(loaded.map(({ revision }) => revision)), new Set([0n]));
  assert.equal(reads, 1);
  await Promise.all([load(0), load(0)]);
  assert.equal(reads, 3);
});

test('a long stream is read from its snapshot; one of another state version is ignored', async () => {
  const id = newId('grp');
  const snapshots = await openSnapshots(servers.deps.sql, testLog);
  const writer = open({ snapshots });
  for (let index = 0; index < 120; index += 1) await append(writer, id);
  // Snapshots are written behind the command's back: ask for it until it is there.
  const stream = `group-${tenantId}_${id}`;
  while ((await snapshots.find(stream, 1)) === undefined)
    await new Promise((resolve) => setImmediate(resolve));
  const foldedBy = async (stateVersion: number) => {
    let folded = 0;
    const decider = counter(() => {
      folded += 1;
    }, stateVersion);
    const { state, revision } = await open({ snapshots }).load<Counted, never, never>(
      decider as never,
      on(id),
    );
    assert.deepEqual([state.count, revision], [120, 119n]);
    return folded;
  };
  assert.equal(await foldedBy(1), 20);
  assert.equal(await foldedBy(2), 120);
});

test('tenants do not share streams, even with the same id', async () => {
  const id = newId('grp') as GroupId;
  const other = newId('ten');
  const handler = open();
  await append(handler, id);
  const { state, revision } = await handler.load(counter() as never, { tenantId: other, id });
  assert.deepEqual([(state as Counted).count, revision], [0, -1n]);
});

test('a store that is away is an outage, and may be tried again', async () => {
  const store = openEventStore('esdb://127.0.0.1:1?tls=false&maxDiscoverAttempts=1&discoveryInterval=1');
  const handler = openHandler({ store, clock: Date.now, snapshots: noSnapshots });
  const id = newId('grp');
  for (const attempt of [
    () => append(handler, id),
    () => handler.load(groupDecider, on(id)),
    () => store.lastPosition(),
    () => store.append(`group-${tenantId}_${id}`, [], -1n),
  ])
    await assert.rejects(
      attempt(),
      (error) => error instanceof MusterError && error.code === 'dependency-unavailable' && error.retryable,
    );
  await store.close();
});

test('thousands of questions about what does not exist disturb nobody', async () => {
  const handler = open();
  // HTTP/2 of Node 20 ends a connection after 1,000 cancelled calls: the client cancels a read that finds no stream.
  let asked = 0;
  const ask = async () => {
    while (asked++ < 1600) {
      const { revision } = await handler.load(counter() as never, on(newId('grp')));
      assert.equal(revision, -1n);
    }
  };
  const id = newId('grp');
  let appended = 0;
  const work = async () => {
    for (; asked < 1600; appended += 1) await append(handler, id);
  };
  await Promise.all([work(), ...Array.from({ length: 48 }, ask)]);
  assert.ok(appended > 0);
  assert.equal((await streamOf(id)).length, appended);
});
