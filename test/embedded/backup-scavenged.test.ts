/** Backups of a log that was scavenged: before, between and after them; and what of a store is no part of its log. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { scavengeLog } from '../../embedded/event-store/scavenge.ts';
import { openSql } from '../../platform/sql.ts';
import { backUp, contentsOf, newDatabase, restoreFrom, withStore } from './backup.ts';
import { numbered } from './support.ts';

const scavenge = async (databaseUrl: string): Promise<number> => {
  const sql = openSql(databaseUrl, { max: 1 });
  try {
    return (await scavengeLog(sql, { dryRun: false, compact: false })).events;
  } finally {
    await sql.end();
  }
};

test('a scavenged log is restored with its gaps, and verifies', async () => {
  const [source, target] = [await newDatabase(), await newDatabase()];
  await withStore(source, async (client) => {
    await client.appendToStream('orders-1', numbered(10));
    await client.setStreamMetadata('orders-1', { maxCount: 2 });
  });
  assert.equal(await scavenge(source), 8);
  const { bytes, trailer } = await backUp(source);
  assert.equal(trailer.scavenged, 1);
  const restored = await restoreFrom(target, [bytes]);
  assert.equal(restored.events, trailer.events);
  assert.deepEqual(await contentsOf(target), await contentsOf(source));
  assert.equal((await contentsOf(target)).faults, 0);
});

test('what was scavenged between a backup and its increment is not brought back', async () => {
  const [source, target] = [await newDatabase(), await newDatabase()];
  const base = await withStore(source, async (client) => {
    await client.appendToStream('orders-1', numbered(10));
    await client.appendToStream('kept-1', numbered(3));
    return backUp(source);
  });
  await withStore(source, async (client) => {
    await client.setStreamMetadata('orders-1', { maxCount: 2 });
    await client.appendToStream('orders-2', numbered(2));
  });
  assert.equal(await scavenge(source), 8);
  const increment = await backUp(source, base.trailer);
  await restoreFrom(target, [base.bytes, increment.bytes]);
  assert.deepEqual(await contentsOf(target), await contentsOf(source));
  assert.equal((await contentsOf(target)).faults, 0);
  await withStore(target, async (client) => {
    const appended = await client.appendToStream('orders-1', numbered(1, 10), { expectedRevision: 9n });
    assert.equal(appended.nextExpectedRevision, 10n);
  });
});

test('users of the store outlive a restore, and are in no backup', async () => {
  const source = await newDatabase();
  const { bytes } = await withStore(source, async (client) => {
    await client.appendToStream('orders-1', numbered(1));
    return backUp(source);
  });
  const sql = openSql(source, { max: 1 });
  await sql`insert into event_store.users (name, groups, hash) values ('canary-user', '{}', 'x')`;
  await restoreFrom(source, [bytes], { replace: true });
  assert.deepEqual(await sql`select name from event_store.users`.then((rows) => [...rows]), [
    { name: 'canary-user' },
  ]);
  await sql.end();
  const elsewhere = await newDatabase();
  await restoreFrom(elsewhere, [(await backUp(source)).bytes]);
  const other = openSql(elsewhere, { max: 1 });
  assert.deepEqual([...(await other`select name from event_store.users`)], []);
  await other.end();
});
