/** Everything started together: supervision, second writers, orphans, clean stops, and durability under kills. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { randomInt, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { EventStoreDBClient, jsonEvent, NO_STREAM, WrongExpectedVersionError } from '@eventstore/db-client';
import { checksumOf } from '../../embedded/event-store/event.ts';
import { start } from '../../embedded/event-store/main.ts';
import { pageForwards } from '../../embedded/event-store/pages.ts';
import { type Embedded, serveEventStore, startEmbedded } from '../../embedded/main.ts';
import { ensureDatabase } from '../../embedded/postgres.ts';
import type { MusterError } from '../../platform/errors.ts';
import { moduleArgs } from '../../platform/module-args.ts';
import { openSql } from '../../platform/sql.ts';
import {
  collect,
  diskReserveMib,
  exitOf,
  follow,
  freshStream,
  log,
  numbered,
  numbersOf,
  openPostgres,
  rejection,
  temporaryFolder,
} from './support.ts';

const folder = temporaryFolder();
let embedded: Embedded;
before(async () => {
  embedded = await startEmbedded({ dataDir: folder.path, diskReserveMib }, { log });
});
after(async () => {
  await embedded.stop();
  folder.remove();
});

const withClient = async <T>(url: string, use: (client: EventStoreDBClient) => Promise<T>): Promise<T> => {
  const client = EventStoreDBClient.connectionString(url);
  try {
    return await use(client);
  } finally {
    await client.dispose();
  }
};

/**
 * Repeats `attempt` until it succeeds, as a careful caller does while a killed part is being restarted: with a pause,
 * because the client hands a repeat in the same moment to the call that just broke, where it is lost without a
 * word, and with a limit of its own for the same reason.
 */
const eventually = async <T>(attempt: () => Promise<T>): Promise<T> => {
  for (const until = Date.now() + 30_000; ; ) {
    const impatience = new AbortController();
    const lost = delay(3_000, undefined, { signal: impatience.signal }).then(() =>
      Promise.reject(new Error('no answer')),
    );
    try {
      return await Promise.race([attempt(), lost]);
    } catch (error) {
      if (error instanceof WrongExpectedVersionError || Date.now() > until) throw error;
      await delay(20);
    } finally {
      lost.catch(() => {});
      impatience.abort();
    }
  }
};

describe('embedded', () => {
  it('offers a database and an event store', async () => {
    const sql = openSql(embedded.databaseUrl, { max: 1 });
    assert.deepEqual([...(await sql`select current_database() as name`)], [{ name: 'muster' }]);
    await sql.end();
    await withClient(embedded.eventStoreUrl, async (client) => {
      const stream = freshStream();
      await client.appendToStream(stream, numbered(2));
      assert.deepEqual(numbersOf(await collect(client.readStream(stream))), [0, 1]);
    });
  });

  it('starts nothing that is configured', async () => {
    const none = await startEmbedded(
      { dataDir: '/nowhere', databaseUrl: 'postgres://x/y', eventStoreUrl: 'esdb://z', diskReserveMib },
      { log },
    );
    assert.deepEqual(
      [none.databaseUrl, none.eventStoreUrl, none.pids()],
      ['postgres://x/y', 'esdb://z', { postgres: undefined, eventStore: undefined }],
    );
    await none.stop();
  });

  it('a second Muster on the same data folder is refused', async () => {
    const error = await rejection<MusterError>(
      startEmbedded({ dataDir: folder.path, diskReserveMib }, { log }),
    );
    assert.equal(error.code, 'data-dir-in-use');
  });

  it('a second writer on the same database is refused', async () => {
    const databaseUrl = await ensureDatabase(embedded.databaseUrl, 'eventstore');
    const error = await rejection<MusterError>(start({ port: 0, databaseUrl }, { log }));
    assert.equal(error.code, 'data-dir-in-use');
  });

  it('a taken port is an error, not a crash', async () => {
    const port = Number(new URL(embedded.eventStoreUrl.replace('esdb', 'http')).port);
    const databaseUrl = await ensureDatabase(embedded.databaseUrl, 'another');
    await assert.rejects(start({ port, databaseUrl }, { log }));
  });

  it('serves the event store alone, in this process', async () => {
    const alone = temporaryFolder();
    const server = await serveEventStore({ port: 0, dataDir: alone.path, diskReserveMib }, { log });
    await withClient(server.connectionString, async (client) => {
      assert.equal(
        (await client.appendToStream('alone-1', numbered(1), { expectedRevision: NO_STREAM }))
          .nextExpectedRevision,
        0n,
      );
    });
    await server.stop();
    const again = await serveEventStore({ port: 0, dataDir: alone.path, diskReserveMib }, { log });
    await withClient(again.connectionString, async (client) =>
      assert.equal((await collect(client.readStream('alone-1'))).length, 1),
    );
    await again.stop();
    alone.remove();
  });
});

describe('stop', () => {
  it('fails what is pending instead of leaving it hanging, and ends subscriptions', async () => {
    const postgres = await openPostgres();
    const server = await start(
      { port: 0, databaseUrl: await ensureDatabase(postgres.url, 'stopping') },
      { log },
    );
    const client = EventStoreDBClient.connectionString(server.connectionString);
    const seen = follow(client.subscribeToAll());
    await seen.until(({ marks }) => marks.includes('caughtUp'));
    const stream = freshStream();
    const acknowledged: number[] = [];
    const appends = Array.from({ length: 2_000 }, (_, n) =>
      client.appendToStream(`${stream}-${n}`, numbered(1, n)).then(() => acknowledged.push(n)),
    );
    const settled = Promise.allSettled(appends);
    await appends[0];
    await server.stop();
    await settled;
    assert.equal((await seen.failed).message.includes('UNAVAILABLE'), true);
    const again = await start(
      { port: server.port, databaseUrl: await ensureDatabase(postgres.url, 'stopping') },
      { log },
    );
    await withClient(again.connectionString, async (fresh) => {
      const kept = new Set(
        numbersOf((await collect(fresh.readAll())).filter((one) => one.event?.streamId.startsWith(stream))),
      );
      assert.deepEqual(
        acknowledged.filter((n) => !kept.has(n)),
        [],
      );
    });
    await client.dispose();
    await again.stop();
    await postgres.stop();
  });
});

describe('child process', () => {
  const spawnChild = async (): Promise<ChildProcess> => {
    const databaseUrl = await ensureDatabase(embedded.databaseUrl, 'child');
    const child = spawn(
      process.execPath,
      [...moduleArgs('../../embedded/event-store/child', import.meta.url), '--level', 'fatal'],
      { stdio: ['pipe', 'pipe', 'inherit'] },
    );
    child.stdin?.write(`${databaseUrl}\n`);
    const [line] = (await once(
      createInterface({ input: child.stdout as NodeJS.ReadableStream }),
      'line',
    )) as [string];
    assert.ok((JSON.parse(line) as { eventstore: { port: number } }).eventstore.port > 0);
    return child;
  };

  it('ends when its parent is gone, not at a Ctrl-C meant for the parent', async () => {
    const child = await spawnChild();
    child.kill('SIGINT');
    child.kill('SIGTERM');
    assert.equal(child.exitCode, null);
    child.stdin?.end();
    assert.equal(await exitOf(child), 0);
  });
});

/** One append that was acknowledged. */
interface Acknowledged {
  readonly stream: string;
  readonly n: number;
  readonly id: string;
  readonly revision: bigint;
  readonly position: bigint;
}

/** What was acknowledged so far, and a way to wait for more. */
const openJournal = () => {
  const entries: Acknowledged[] = [];
  let waiters: { count: number; wake: () => void }[] = [];
  return {
    entries,
    add: (entry: Acknowledged): void => {
      entries.push(entry);
      for (const waiter of waiters) if (entries.length >= waiter.count) waiter.wake();
      waiters = waiters.filter((waiter) => entries.length < waiter.count);
    },
    more: (count: number): Promise<void> =>
      new Promise((wake) => waiters.push({ count: entries.length + count, wake })),
  };
};

/** Appends one after the other, repeating each with the same id until it is acknowledged, until told to stop. */
const writeUntil = async (
  client: EventStoreDBClient,
  stream: string,
  isOver: () => boolean,
  journal: ReturnType<typeof openJournal>,
): Promise<void> => {
  for (let n = 0; !isOver(); n += 1) {
    const id = randomUUID();
    const expectedRevision = n === 0 ? NO_STREAM : BigInt(n - 1);
    const result = await eventually(() =>
      client.appendToStream(stream, jsonEvent({ id, type: 'Numbered', data: { n } }), { expectedRevision }),
    );
    journal.add({
      stream,
      n,
      id,
      revision: result.nextExpectedRevision,
      position: result.position?.commit ?? -1n,
    });
  }
};

describe('durability', () => {
  const cycles = 8;
  it(`${cycles} kills at random moments under load lose nothing, repeat nothing and keep the order`, async () => {
    const prefix = freshStream('kill');
    const journal = openJournal();
    let isOver = false;
    const client = EventStoreDBClient.connectionString(embedded.eventStoreUrl);
    const writers = Array.from({ length: 6 }, (_, w) =>
      writeUntil(client, `${prefix}-${w}`, () => isOver, journal),
    );
    for (let cycle = 0; cycle < cycles; cycle += 1) {
      const { postgres, eventStore } = embedded.pids();
      await journal.more(randomInt(20, 400));
      process.kill((cycle % 2 === 0 ? eventStore : postgres) as number, 'SIGKILL');
      await journal.more(50);
    }
    isOver = true;
    await Promise.all(writers);

    const all = await collect(client.readAll());
    await client.dispose();
    const stored = all.filter((one) => one.event?.streamId.startsWith(prefix)).map((one) => one.event);
    const places = new Map(
      stored.map((event) => [event?.id, { revision: event?.revision, position: event?.position?.commit }]),
    );
    assert.equal(places.size, stored.length, 'an event is stored twice');
    for (const one of journal.entries)
      assert.deepEqual(
        places.get(one.id),
        { revision: one.revision, position: one.position },
        `${one.stream}@${one.n}`,
      );
    assert.equal(stored.length, journal.entries.length);
    for (let w = 0; w < 6; w += 1) {
      const numbers = stored
        .filter((event) => event?.streamId === `${prefix}-${w}`)
        .map((event) => (event?.data as { n: number } | undefined)?.n);
      assert.deepEqual(
        numbers,
        numbers.map((_, n) => n),
      );
    }
  });

  it('every stored event agrees with its checksum', async () => {
    const sql = openSql(await ensureDatabase(embedded.databaseUrl, 'eventstore'), { max: 1 });
    const sums = new Map(
      (
        await sql<{ position: bigint; checksum: number }[]>`select position, checksum from event_store.events`
      ).map((row) => [row.position, row.checksum]),
    );
    const events = await pageForwards(sql, 0n, 1_000_000);
    assert.ok(events.length > 100);
    for (const event of events) assert.equal(checksumOf(event), sums.get(event.position));
    await sql.end();
  });
});
