/** What a scavenge has recorded: verification tells its gaps from losses, and older layouts are brought up to it. */
import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { scavengeLog } from '../../embedded/event-store/scavenge.ts';
import { layout, writerLock } from '../../embedded/event-store/schema.ts';
import { verifyLog } from '../../embedded/event-store/verify.ts';
import type { MusterError } from '../../platform/errors.ts';
import { openSeenStore, type SeenStore, withConnection } from './scavenging.ts';
import { collect, numbered, openPostgres, rejection } from './support.ts';

let postgres: Awaited<ReturnType<typeof openPostgres>>;
let store: SeenStore;
before(async () => {
  postgres = await openPostgres();
});
after(() => postgres.stop());

/** A stream cut short, one that is deleted, one that is gone for good, one that nobody touched. */
beforeEach(async () => {
  store = await openSeenStore(postgres.url);
  const client = store.client();
  for (const stream of ['cut-1', 'deleted-1', 'gone-1', 'whole-1'])
    await client.appendToStream(stream, numbered(10));
  await client.setStreamMetadata('cut-1', { truncateBefore: 4 });
  await client.deleteStream('deleted-1');
  await client.setStreamMetadata('gone-1', { maxCount: 5 });
  await client.tombstoneStream('gone-1');
  await client.appendToStream('whole-1', numbered(1, 10));
});
afterEach(() => store.stop());

const scavenge = () => withConnection(store.databaseUrl, (sql) => scavengeLog(sql));
const verify = () => withConnection(store.databaseUrl, (sql) => verifyLog(sql));

describe('verify after a scavenge', () => {
  beforeEach(async () => {
    await scavenge();
    assert.deepEqual((await verify()).findings, []);
  });

  for (const [what, condition, found] of [
    ['the first event that was kept', `name = 'cut-1' and revision = 4`, /does not follow/],
    ['an event in the middle', `name = 'cut-1' and revision = 6`, /does not follow/],
    ['the last event of a stream', `name = 'cut-1' and revision = 9`, /no scavenge has removed: 1/],
    ['the one event left of a deleted stream', `name = 'deleted-1'`, /no scavenge has removed: 1/],
    ['the tombstone', `name = 'gone-1'`, /no scavenge has removed: 1/],
    ['a stream but for its end', `name = 'whole-1' and revision < 10`, /does not follow/],
    ['the metadata of a deleted stream', `name = '$$deleted-1'`, /no scavenge has removed: 1/],
  ] as const) {
    it(`a loss of ${what} is found`, async () => {
      const gone = await store.sql.unsafe(
        `delete from event_store.events e using event_store.streams s where s.id = e.stream and ${condition} returning e.position`,
      );
      assert.ok(gone.length > 0);
      const { faults, findings } = await verify();
      assert.equal(faults, 1);
      assert.match(findings[0]?.problem ?? '', found);
    });
  }

  it('a record that claims more, or is lost, is found', async () => {
    await store.sql`update event_store.scavenged set events = events + 1, first = first + 1`;
    assert.ok((await verify()).faults > 0);
    await store.sql`delete from event_store.scavenged`;
    assert.ok((await verify()).faults > 0);
  });

  it('an event that comes back is found', async () => {
    await store.sql`
      insert into event_store.events
      select position - 1, stream, revision - 1, created, id, checksum, json, type, data, metadata
      from event_store.events where revision = 4 and stream = (select id from event_store.streams where name = 'cut-1')`;
    const { findings } = await verify();
    assert.match(findings.map(({ problem }) => problem).join(), /recorded as removed .*: 1/);
  });
});

describe('a log of layout 1', () => {
  /** As version 0.1 left it. */
  const goBack = async (): Promise<void> => {
    await store.stopServer();
    await store.sql`drop table event_store.scavenged`;
    await store.sql`update event_store.store set layout = 1`;
  };
  const layoutNow = async () =>
    (await store.sql<{ layout: number }[]>`select layout from event_store.store`)[0]?.layout;

  it('opens, with everything in it', async () => {
    const rows = await store.rows();
    await goBack();
    assert.deepEqual((await verify()).findings, [], 'verification writes nothing, and needs no record');
    assert.equal(await layoutNow(), 1);
    await store.restart();
    assert.equal(await layoutNow(), layout);
    assert.deepEqual(await store.rows(), rows);
    assert.equal((await collect(store.client().readStream('whole-1'))).length, 11);
    await store.restart();
    assert.deepEqual((await verify()).findings, []);
  });

  it('is brought up to date by a scavenge too, unless an older server has it open', async () => {
    await goBack();
    await withConnection(store.databaseUrl, async (older) => {
      await older`select pg_advisory_lock(${writerLock})`;
      assert.equal((await rejection<MusterError>(scavenge())).code, 'config-invalid');
      assert.equal(await layoutNow(), 1);
    });
    assert.ok((await scavenge()).events > 0);
    assert.equal(await layoutNow(), layout);
    assert.deepEqual((await verify()).findings, []);
  });

  it('a layout of the future is refused', async () => {
    await store.stopServer();
    await store.sql`update event_store.store set layout = ${layout + 1}`;
    assert.equal((await rejection<MusterError>(scavenge())).code, 'config-invalid');
    assert.equal((await rejection<MusterError>(store.restart())).code, 'config-invalid');
  });
});
