/** kill -9 of a restore that replaces a log: whenever it comes, the database holds the old log or the new one. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { jsonEvent } from '@eventstore/db-client';
import { openSql } from '../../platform/sql.ts';
import { startCommand } from '../support/muster.ts';
import { backUp, contentsOf, newDatabase, schemasOf, withStore } from './backup.ts';
import { numbered } from './support.ts';

const large = 40;
const chunk = 500;

/** What a restore is seen to be doing, from outside, when it is killed. */
const moments: readonly { readonly what: string; readonly seen: string }[] = [
  { what: 'its schema is there', seen: `select from pg_namespace where nspname = 'event_store_restoring'` },
  {
    what: 'events are copied',
    seen: `select from pg_stat_activity where datname = current_database() and query like 'copy event_store_restoring.events%' and state = 'active'`,
  },
  {
    what: 'the restored log is verified in the transaction that swaps it in',
    seen: `select from pg_stat_activity where datname = current_database() and application_name = 'muster-event-store-restore' and backend_xid is not null and query like '%event_store.events%'`,
  },
];

test('kill -9 of a restore at any moment leaves the old log or the new one', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'muster-test-'));
  const file = join(folder, 'log.backup');
  const source = await newDatabase();
  const { bytes } = await withStore(source, async (client) => {
    for (let n = 0; n < large; n += 1) {
      const events = Array.from({ length: chunk }, (_, at) =>
        jsonEvent({ type: 'Written', data: { n, at } }),
      );
      await client.appendToStream(`orders-${n}`, events);
    }
    return backUp(source);
  });
  writeFileSync(file, bytes);
  const target = await newDatabase();
  await withStore(target, (client) => client.appendToStream('old', numbered(3)));
  const [older, newer] = [await contentsOf(target), await contentsOf(source)];
  const sql = openSql(target, { max: 1 });
  const restore = () =>
    startCommand(['eventstore', 'restore', '--replace', file], {
      DATABASE_URL: target,
      MUSTER_DATA_DIR: folder,
    });
  try {
    for (const { what, seen } of moments) {
      const command = restore();
      let over = false;
      void command.ended.then(() => {
        over = true;
      });
      // One question after the other: each answer takes its time, so this is no tight loop.
      while (!over && (await sql.unsafe(seen)).length === 0);
      assert.equal(over, false, `it was seen that ${what}: ${command.errors()}`);
      await command.stop('SIGKILL');
      // PostgreSQL notices that the restore is gone once it has finished what it was doing.
      while (
        (
          await sql`select from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()`
        ).length > 0
      );
      const left = await contentsOf(target);
      assert.deepEqual(left, left.rows.length === older.rows.length ? older : newer, `killed when ${what}`);
    }
    const last = restore();
    assert.equal(await last.ended, 0, last.errors());
    assert.match(last.output(), /restored and verified/);
    assert.deepEqual(await contentsOf(target), newer);
    assert.deepEqual(await schemasOf(target), ['event_store']);
  } finally {
    await sql.end();
    rmSync(folder, { recursive: true, force: true });
  }
});
