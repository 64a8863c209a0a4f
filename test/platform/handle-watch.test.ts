/** Loads of what rarely changes, on a real log: proven by following its changes, and read wherever that proves nothing. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { TenantId } from '../../domain/ids.ts';
import { isRefusal } from '../../domain/refusals.ts';
import { MusterError } from '../../platform/errors.ts';
import { type EventStore, openEventStore, type StoredEvent } from '../../platform/event-store.ts';
import { type Handler, openHandler } from '../../platform/handle.ts';
import { newId, newUuid } from '../../platform/new-id.ts';
import { noSnapshots } from '../../platform/snapshots.ts';
import { openWatch } from '../../platform/watch.ts';
import { type Servers, startServers, testLog } from '../support/servers.ts';
import { type CountCommand, type Counted, counter } from './counter.ts';

let servers: Servers;
let otherStore: EventStore;
let other: Handler;
before(async () => {
  servers = await startServers();
  // Another process: a client and a cache of its own.
  otherStore = openEventStore(servers.eventStoreUrl);
  other = openHandler({ store: otherStore, clock: Date.now, snapshots: noSnapshots });
});
after(async () => {
  await otherStore.close();
  await servers.stop();
});

const maxAgeMs = 2000;
interface Target {
  readonly tenantId: TenantId;
  readonly id: string;
}
const aGroup = (): Target => ({ tenantId: newId('ten'), id: newId('grp') });
const append = async (target: Target) => {
  const cause = { actor: { kind: 'system', id: 'test' }, commandId: newUuid() } as const;
  const command: CountCommand = { type: 'Append', name: 'N' };
  assert.ok(!isRefusal(await other.handle(counter(), target, command, cause)));
};

/** Events that nobody watches: what makes a subscription with a filter tell how far it is. */
const traffic = async (): Promise<void> => {
  const [tenantId, id] = [newId('ten'), newId('dev')];
  const metadata = {
    tenantId,
    actor: { kind: 'system', id: 'test' },
    $causationId: 'c',
    $correlationId: 'c',
    schemaVersion: 1,
    at: new Date().toISOString(),
  } as const;
  const events = Array.from({ length: 33 }, () => ({ id: newUuid(), type: 'Any', data: {}, metadata }));
  await otherStore.append(`device-${tenantId}_${id}`, events, -1n);
};

/** A process under test: its clock stands still but for `prove` and `pass`; `over` decorates its store. */
const open = (over: (store: EventStore) => Partial<EventStore> = () => ({})) => {
  let now = 0;
  let reads = 0;
  const { store } = servers.deps;
  const decorated = { ...store, ...over(store) };
  const counting: EventStore = {
    ...decorated,
    readStream(stream, fromRevision) {
      reads += 1;
      return decorated.readStream(stream, fromRevision);
    },
  };
  const clock = () => now;
  const watch = openWatch({ store: counting, clock, log: testLog });
  const handler = openHandler({ store: counting, clock, snapshots: noSnapshots, watch });
  return {
    watch,
    pass(ms: number): void {
      now += ms;
    },
    /** Lets time and traffic pass until everything up to now is proven to have been seen. */
    async prove(): Promise<void> {
      do {
        now += 1000;
        watch.wake();
        await traffic();
        await traffic();
      } while (watch.mark().proof?.provenAt !== now);
    },
    async count(target: Target): Promise<number> {
      return (await handler.load<Counted, CountCommand, never>(counter() as never, target, { maxAgeMs }))
        .state.count;
    },
    /** Reads since the last time it was asked. */
    reads(): number {
      const made = reads;
      reads = 0;
      return made;
    },
  };
};

test('many tenants under traffic: each is read once, however often and late it is loaded', async () => {
  const one = open();
  const groups = Array.from({ length: 40 }, aGroup);
  await Promise.all(groups.map(append));
  await one.prove();
  for (const group of groups) assert.equal(await one.count(group), 1);
  assert.equal(one.reads(), 40);
  for (let round = 0; round < 3; round += 1) {
    one.pass(maxAgeMs);
    await one.prove();
    for (const group of groups) assert.equal(await one.count(group), 1);
  }
  assert.equal(one.reads(), 0);
  // Without a proof that is young enough, the log is read.
  one.pass(maxAgeMs);
  for (const group of groups) assert.equal(await one.count(group), 1);
  assert.equal(one.reads(), 40);
  await one.watch.close();
});

test('what another process changes or deletes is seen as soon as anything later is proven, and always in time', async () => {
  const one = open();
  const [group, neighbour] = [aGroup(), aGroup()];
  await append(group);
  await append(neighbour);
  await one.prove();
  assert.deepEqual([await one.count(group), await one.count(neighbour)], [1, 1]);
  await append(group);
  await one.prove();
  one.reads();
  assert.deepEqual([await one.count(group), await one.count(neighbour)], [2, 1]);
  assert.equal(one.reads(), 1);
  await append(group);
  one.pass(maxAgeMs);
  assert.equal(await one.count(group), 3);
  await otherStore.deleteStream(`group-${group.tenantId}_${group.id}`);
  one.pass(maxAgeMs);
  await one.prove();
  assert.deepEqual([await one.count(group), await one.count(neighbour)], [0, 1]);
  await one.watch.close();
});

test('a read that began before a change and ends after it is proven by nothing', async () => {
  const group = aGroup();
  const stream = `group-${group.tenantId}_${group.id}`;
  let began = () => {};
  const hasBegun = new Promise<void>((resolve) => {
    began = resolve;
  });
  let end: (() => void) | undefined;
  const mayEnd = new Promise<void>((resolve) => {
    end = resolve;
  });
  const one = open((store) => ({
    async *readStream(name, fromRevision) {
      const found: StoredEvent[] = [];
      for await (const event of store.readStream(name, fromRevision)) found.push(event);
      if (name === stream) {
        began();
        await mayEnd;
      }
      yield* found;
    },
  }));
  await append(group);
  await one.prove();
  const slow = one.count(group);
  await hasBegun;
  await append(group);
  await one.prove();
  end?.();
  assert.equal(await slow, 1);
  one.pass(maxAgeMs);
  await one.prove();
  assert.equal(await one.count(group), 2);
  await one.watch.close();
});

for (const [how, fail] of [
  ['breaks', (): Promise<void> => Promise.reject(new MusterError('dependency-unavailable', 'cut'))],
  [
    'stalls',
    (signal: AbortSignal) =>
      new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve())),
  ],
] as const)
  test(`a subscription that ${how}: the log is read, and nothing is believed for long`, async () => {
    let failing = false;
    const one = open((store) => ({
      async *follow(options) {
        for await (const batch of store.follow(options)) {
          if (failing) await fail(options.signal);
          yield batch;
        }
      },
    }));
    const group = aGroup();
    await append(group);
    await one.prove();
    await one.count(group);
    failing = true;
    await traffic();
    await append(group);
    for (let round = 2; round < 5; round += 1) {
      // Asked half-way, so that an answer that was not earned would be young enough.
      one.pass(maxAgeMs / 2);
      one.watch.wake();
      await traffic();
      one.pass(maxAgeMs / 2);
      assert.equal(await one.count(group), round);
      await append(group);
      await traffic();
    }
    if (how === 'breaks') {
      failing = false;
      // After the pause it follows again, and proves again.
      one.pass(60_000);
      await one.prove();
      assert.equal(await one.count(group), 5);
      one.pass(maxAgeMs);
      await one.prove();
      one.reads();
      assert.equal(await one.count(group), 5);
      assert.equal(one.reads(), 0);
    }
    await one.watch.close();
  });
