/** The writer on its own, where what clients cannot cause can be caused: refused groups, lost connections, tiny caches. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, afterEach, before, describe, it } from 'node:test';
import { pageForwards } from '../../embedded/event-store/pages.ts';
import { openRecent } from '../../embedded/event-store/recent.ts';
import { openStreamCache } from '../../embedded/event-store/stream-cache.ts';
import { openWriter, type WriteOutcome, type Writer } from '../../embedded/event-store/writer.ts';
import { ensureDatabase } from '../../embedded/postgres.ts';
import { openSql, type Sql } from '../../platform/sql.ts';
import { log, openPostgres } from './support.ts';

let postgres: Awaited<ReturnType<typeof openPostgres>>;
before(async () => {
  postgres = await openPostgres();
});
after(() => postgres.stop());

interface Opened {
  readonly writer: Writer;
  readonly sql: Sql;
  readonly recent: ReturnType<typeof openRecent>;
}
const opened = new Set<Opened>();
const close = async (one: Opened): Promise<void> => {
  opened.delete(one);
  await one.writer.stop();
  await one.sql.end();
};
const open = async (name: string, cachedStreams = 1_000): Promise<Opened> => {
  const databaseUrl = await ensureDatabase(postgres.url, name);
  const sql = openSql(databaseUrl, { max: 2 });
  const recent = openRecent(100, 1e6);
  const writer = await openWriter(databaseUrl, {
    sql,
    cache: openStreamCache(sql, cachedStreams),
    recent,
    log,
  });
  const one = { writer, sql, recent };
  opened.add(one);
  return one;
};
afterEach(async () => {
  for (const one of [...opened]) await close(one);
});

const event = (type = 'T', id: string = randomUUID()) => ({
  id,
  type,
  json: true,
  data: Buffer.from('{}'),
  metadata: new Uint8Array(),
});
const append = (
  writer: Writer,
  stream: string,
  expected: bigint | 'any',
  events = [event()],
): Promise<WriteOutcome> => writer.submit({ kind: 'append', stream, expected, events });
const kindOf = (outcome: WriteOutcome): string => (outcome.done ? 'done' : outcome.because);

describe('writer', () => {
  it('a request that PostgreSQL refuses fails alone, whatever shares its group', async () => {
    const { writer, sql } = await open('refused');
    // NUL cannot be stored as text; the gRPC layer refuses it long before, so only this test gets it here.
    const outcomes = await Promise.all(
      Array.from({ length: 60 }, (_, n) =>
        append(writer, `s-${n % 3}`, 'any', [event(n === 10 || n === 40 ? 'bad\0' : 'T')]),
      ),
    );
    assert.deepEqual(
      outcomes.map(kindOf),
      outcomes.map((_, n) => (n === 10 || n === 40 ? 'failed' : 'done')),
    );
    const stored = await pageForwards(sql, 0n, 1_000);
    assert.equal(stored.length, 58);
    for (const name of ['s-0', 's-1', 's-2']) {
      const revisions = stored.filter((one) => one.stream === name).map((one) => one.revision);
      assert.deepEqual(
        revisions,
        revisions.map((_, index) => BigInt(index)),
      );
    }
    assert.equal(kindOf(await append(writer, 's-0', 'any')), 'done');
  });

  it('what was built on a refused request is decided anew', async () => {
    const { writer } = await open('rebuilt');
    const outcomes = await Promise.all([
      append(writer, 's', -1n),
      append(writer, 's', 0n, [event('bad\0')]),
      append(writer, 's', 1n),
      append(writer, 's', 0n),
    ]);
    assert.deepEqual(outcomes.map(kindOf), ['done', 'failed', 'wrong-expected-version', 'done']);
  });

  it('a lost connection fails what is pending and writes again by itself', async () => {
    const { writer, sql, recent } = await open('lost');
    assert.equal(kindOf(await append(writer, 's', -1n)), 'done');
    const pending = Array.from({ length: 200 }, (_, n) => append(writer, `p-${n}`, -1n));
    await sql`select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'muster-event-store-writer' and datname = 'lost'`;
    const outcomes = await Promise.all(pending);
    assert.ok(outcomes.every((outcome) => ['done', 'unavailable'].includes(kindOf(outcome))));
    let outcome = await append(writer, 's', 0n);
    for (
      const until = Date.now() + 20_000;
      !outcome.done && Date.now() < until;
      outcome = await append(writer, 's', 0n)
    ) {
      assert.equal(kindOf(outcome), 'unavailable');
      await new Promise((resolve) => setImmediate(resolve));
    }
    assert.equal(kindOf(outcome), 'done');
    const stored = await pageForwards(sql, 0n, 1_000);
    const acknowledged = outcomes.filter((one) => one.done).length;
    assert.ok(stored.length >= acknowledged + 2);
    assert.equal(recent.last(), stored.at(-1)?.position);
  });

  it('heads are read back when the cache is far too small', async () => {
    const { writer, sql } = await open('evicted', 5);
    for (let round = 0; round < 4; round += 1) {
      const outcomes = await Promise.all(
        Array.from({ length: 50 }, (_, n) => append(writer, `s-${n}`, BigInt(round) - 1n)),
      );
      assert.ok(outcomes.every((outcome) => outcome.done && outcome.revision === BigInt(round)));
    }
    assert.equal((await pageForwards(sql, 0n, 1_000)).length, 200);
  });

  it('a repeat is recognised from disk when its id has left the memory', async () => {
    const events = [event(), event()];
    const first = await open('forgotten');
    const original = await append(first.writer, 's', -1n, events);
    // More than a start reads back (65,536).
    for (let block = 0; block < 33; block += 1)
      await append(
        first.writer,
        `noise-${block}`,
        -1n,
        Array.from({ length: 2_000 }, () => event()),
      );
    await append(first.writer, 's', 1n);
    await close(first);
    const second = await open('forgotten');
    assert.deepEqual(await append(second.writer, 's', -1n, events), original);
    assert.equal(
      kindOf(await append(second.writer, 's', -1n, [events[0] as (typeof events)[number], event()])),
      'wrong-expected-version',
    );
    assert.equal(kindOf(await append(second.writer, 's', -1n)), 'wrong-expected-version');
  });

  it('a pending write is not acknowledged through a repeat or a conflict', async () => {
    const { writer, recent } = await open('pending');
    const events = [event()];
    const before = recent.last();
    const atAnswer: bigint[] = [];
    const note = (outcome: WriteOutcome) => {
      atAnswer.push(recent.last());
      return outcome;
    };
    const outcomes = await Promise.all([
      append(writer, 's', -1n, events).then(note),
      append(writer, 's', -1n, events).then(note),
      append(writer, 's', -1n).then(note),
    ]);
    assert.deepEqual(outcomes.map(kindOf), ['done', 'done', 'wrong-expected-version']);
    assert.ok(atAnswer.every((position) => position > before));
  });
});
