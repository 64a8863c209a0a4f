/** A scavenge among others: beside writers and subscribers, killed, twice at once, and compacting. */
import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { scavengeLog } from '../../embedded/event-store/scavenge.ts';
import { verifyLog } from '../../embedded/event-store/verify.ts';
import type { MusterError } from '../../platform/errors.ts';
import { startCommand } from '../support/muster.ts';
import { holdingEvent, openSeenStore, type SeenStore, someoneWaits, withConnection } from './scavenging.ts';
import { collect, follow, numbered, numbersOf, openPostgres, rejection } from './support.ts';

let postgres: Awaited<ReturnType<typeof openPostgres>>;
let store: SeenStore;
before(async () => {
  postgres = await openPostgres();
});
after(() => postgres.stop());
beforeEach(async () => {
  store = await openSeenStore(postgres.url);
});
afterEach(() => store.stop());

const scavenge = (options = {}) => withConnection(store.databaseUrl, (sql) => scavengeLog(sql, options));
const verify = () => withConnection(store.databaseUrl, (sql) => verifyLog(sql));

const perStream = 3_000;

/** Two long streams of which all but the last ten events may go. */
const writeLongStreams = async (): Promise<void> => {
  const client = store.client();
  for (const stream of ['long-1', 'long-2']) {
    for (let n = 0; n < perStream; n += 500) await client.appendToStream(stream, numbered(500, n));
    await client.setStreamMetadata(stream, { maxCount: 10 });
  }
};

const positionOf = async (stream: string, revision: number): Promise<bigint> => {
  const row = (await store.rows()).find((one) => one.stream === stream && one.revision === BigInt(revision));
  assert.ok(row);
  return row.position;
};

describe('a scavenge among others', () => {
  it('appends and subscriptions beside it lose nothing, repeat nothing and keep the order', async () => {
    await writeLongStreams();
    const client = store.client();
    const all = follow(client.subscribeToAll({ fromPosition: 'start' }));
    const one = follow(client.subscribeToStream('beside-1', { fromRevision: 'start' }));
    const held = await positionOf('long-2', 1_500);
    let appended = 0;
    const append = async (count: number): Promise<void> => {
      for (const end = appended + count; appended < end; appended += 1) {
        await client.appendToStream('beside-1', numbered(1, appended));
        await client.appendToStream('long-1', numbered(1, perStream + appended));
      }
    };
    const scavenging = await holdingEvent(store.databaseUrl, held, async (release) => {
      const running = scavenge();
      await someoneWaits(store);
      // The scavenge stands still in the middle of a stream; nobody else has to.
      await append(50);
      release();
      await append(50);
      return running;
    });
    await append(20);
    assert.equal(scavenging.events, 2 * (perStream - 10));
    await one.until(({ events }) => events.length >= appended);
    await all.until(({ events }) => events.at(-1)?.event?.revision === BigInt(perStream + appended - 1));
    assert.deepEqual(
      numbersOf(one.events),
      Array.from({ length: appended }, (_, n) => n),
    );
    const positions = all.events.map(({ event }) => event?.position?.commit ?? -1n);
    assert.deepEqual(
      positions,
      [...new Set(positions)].sort((a, b) => (a < b ? -1 : 1)),
    );
    const besideSeen = all.events.filter(({ event }) => event?.streamId === 'beside-1');
    assert.equal(besideSeen.length, appended);
    assert.deepEqual(
      numbersOf(await collect(client.readStream('long-1'))),
      Array.from({ length: 10 }, (_, n) => perStream + appended - 10 + n),
    );
    assert.deepEqual((await verify()).findings, []);
    await Promise.all([all.leave(), one.leave()]);
  });

  it('takes nothing that was written after it began', async () => {
    await writeLongStreams();
    const held = await positionOf('long-1', 1_500);
    const late = await holdingEvent(store.databaseUrl, held, async (release) => {
      const running = scavenge();
      await someoneWaits(store);
      const end = (await store.rows()).at(-1)?.position;
      const client = store.client();
      await client.appendToStream('long-2', numbered(100, perStream));
      await client.appendToStream('late-1', numbered(5));
      await client.deleteStream('late-1');
      release();
      assert.equal((await running).upTo, end);
      return end as bigint;
    });
    const rows = await store.rows();
    assert.equal(rows.filter((row) => row.position > late).length, 106);
    assert.deepEqual((await verify()).findings, []);
  });

  it('killed in the middle, the log is whole, and the next one does the rest', async () => {
    await writeLongStreams();
    const before = (await store.rows()).length;
    const held = await positionOf('long-2', 1_500);
    await holdingEvent(store.databaseUrl, held, async () => {
      const command = startCommand(['eventstore', 'scavenge'], { DATABASE_URL: store.databaseUrl });
      await someoneWaits(store);
      assert.equal(await command.stop('SIGKILL'), 'SIGKILL');
    });
    const half = (await store.rows()).length;
    assert.ok(half < before - perStream, `${before - half} events are gone`);
    assert.ok(half > before - 2 * (perStream - 10), `${half} events are left`);
    assert.deepEqual((await verify()).findings, []);
    const rest = await scavenge();
    assert.equal(half - rest.events, before - 2 * (perStream - 10));
    assert.deepEqual((await verify()).findings, []);
  });

  it('a second one at the same time is refused', async () => {
    await writeLongStreams();
    const held = await positionOf('long-1', 0);
    const done = await holdingEvent(store.databaseUrl, held, async (release) => {
      const running = scavenge();
      await someoneWaits(store);
      assert.equal((await rejection<MusterError>(scavenge())).code, 'scavenge-running');
      assert.equal((await scavenge({ dryRun: true })).events, 2 * (perStream - 10), 'counting is allowed');
      release();
      return running;
    });
    assert.equal(done.events, 2 * (perStream - 10));
  });

  it('compacting is refused while the store runs, and gives space back to the disk when it does not', async () => {
    await writeLongStreams();
    const error = await rejection<MusterError>(scavenge({ compact: true }));
    assert.equal(error.code, 'data-dir-in-use');
    assert.equal((await scavenge({ dryRun: true })).events, 2 * (perStream - 10), 'nothing was removed');
    const plain = await scavenge();
    assert.ok(plain.diskBytes.after > plain.diskBytes.before * 0.9);
    await store.stopServer();
    const kept = await store.rows();
    const compacted = await scavenge({ compact: true });
    assert.ok(
      compacted.diskBytes.after < compacted.diskBytes.before / 4,
      JSON.stringify(compacted.diskBytes),
    );
    assert.deepEqual(await store.rows(), kept);
    await store.restart();
    assert.equal((await store.client().appendToStream('long-1', numbered(1))).nextExpectedRevision, 3_000n);
    assert.deepEqual((await verify()).findings, []);
  });
});
