/**
 * What the tests of the embedded servers share: a PostgreSQL in a temporary folder, stores over it, and ways to
 * wait for what a client is told. With EVENTSTORE_URL set, the contract runs against that server instead.
 */
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EventStoreDBClient, type JSONEventType, jsonEvent, type ResolvedEvent } from '@eventstore/db-client';
import { startEventStoreProcess } from '../../embedded/event-store/process.ts';
import { type EmbeddedPostgres, ensureDatabase, startPostgres } from '../../embedded/postgres.ts';
import { openLog } from '../../platform/log.ts';
import { openSql } from '../../platform/sql.ts';

export const log = openLog({ level: process.env['MUSTER_TEST_LOG'] ?? 'silent', name: 'test' });

/** Free space that embedded parts of tests insist on, in MiB. */
export const diskReserveMib = 16;

/** A folder that `remove` deletes with everything in it. */
export const temporaryFolder = (): { path: string; remove(): void } => {
  const path = mkdtempSync(join(tmpdir(), 'muster-test-'));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
};

/** A PostgreSQL of the test's own. */
export const openPostgres = async (): Promise<EmbeddedPostgres & { dataDir: string }> => {
  const folder = temporaryFolder();
  const postgres = await startPostgres({ dataDir: folder.path }, { log });
  return {
    ...postgres,
    dataDir: folder.path,
    stop: async () => {
      await postgres.stop();
      folder.remove();
    },
  };
};

/** The server under contract: the configured one, or an embedded store with an empty log. */
export interface Contract {
  readonly url: string;
  readonly isEmbedded: boolean;
  /** A client that `stop` disposes of. */
  client(options?: string): EventStoreDBClient;
  stop(): Promise<void>;
}

/** The run's shared PostgreSQL where there is one (test/support/run.ts), else one of this file's own. */
export const anyPostgres = async (): Promise<{ url: string; stop(): Promise<void> }> => {
  const shared = process.env['MUSTER_TEST_POSTGRES'];
  return shared === undefined ? openPostgres() : { url: shared, stop: async () => {} };
};

export const dropDatabase = async (serverUrl: string, name: string): Promise<void> => {
  const sql = openSql(serverUrl, { max: 1 });
  await sql`drop database if exists ${sql(name)} with (force)`;
  await sql.end();
};

/** An embedded store in a process of its own, as in production: client and server would else share one core. */
const openEmbeddedStore = async (): Promise<{ url: string; stop(): Promise<void> }> => {
  const postgres = await anyPostgres();
  const name = `contract_${randomUUID().replaceAll('-', '')}`;
  const databaseUrl = await ensureDatabase(postgres.url, name);
  const store = await startEventStoreProcess({ port: 0, databaseUrl }, { log });
  return {
    url: `esdb://127.0.0.1:${store.port}?tls=false`,
    stop: async () => {
      await store.stop();
      await dropDatabase(postgres.url, name);
      await postgres.stop();
    },
  };
};

export const openContract = async (): Promise<Contract> => {
  const configured = process.env['EVENTSTORE_URL'];
  const clients: EventStoreDBClient[] = [];
  const server =
    configured === undefined ? await openEmbeddedStore() : { url: configured, stop: async () => {} };
  return {
    url: server.url,
    isEmbedded: configured === undefined,
    client: (options = '') => {
      const client = EventStoreDBClient.connectionString(server.url + options);
      clients.push(client);
      return client;
    },
    stop: async () => {
      await Promise.all(clients.map((client) => client.dispose()));
      await server.stop();
    },
  };
};

type TestEvent = JSONEventType<string, { n: number }>;

/** A stream name nobody else uses. */
export const freshStream = (prefix = 'contract'): string => `${prefix}-${randomUUID()}`;

/** `count` events numbered from `first`. */
export const numbered = (count: number, first = 0, type = 'Numbered') =>
  Array.from({ length: count }, (_, index) => jsonEvent<TestEvent>({ type, data: { n: first + index } }));

/** All events of a read. */
export const collect = async (read: AsyncIterable<ResolvedEvent>): Promise<ResolvedEvent[]> => {
  const events: ResolvedEvent[] = [];
  for await (const event of read) events.push(event);
  return events;
};

/** The numbers that events of `numbered` carry. */
export const numbersOf = (events: readonly ResolvedEvent[]): number[] =>
  events.map((resolved) => (resolved.event?.data as { n: number } | undefined)?.n ?? Number.NaN);

interface Followed extends NodeJS.EventEmitter {
  unsubscribe(): Promise<void>;
}

/** What a subscription says, in order, with a way to wait for it to have said enough. */
export interface Transcript {
  readonly events: ResolvedEvent[];
  /** `confirmation`, `caughtUp`, `event` and `checkpoint` marks in order of arrival. */
  readonly marks: string[];
  /** Resolves once `enough` holds; rejects when the subscription fails first. */
  until(enough: (transcript: Transcript) => boolean): Promise<void>;
  mark(what: string): void;
  readonly failed: Promise<Error>;
  leave(): Promise<void>;
}

/** Listens to `subscription`. */
export const follow = (subscription: Followed): Transcript => {
  const events: ResolvedEvent[] = [];
  const marks: string[] = [];
  const waiters = new Set<() => void>();
  let failure: Error | undefined;
  let fail: (error: Error) => void = () => {};
  const failed = new Promise<Error>((resolve) => {
    fail = resolve;
  });
  const changed = (): void => {
    for (const wake of [...waiters]) wake();
  };
  const mark = (what: string): void => {
    marks.push(what);
    changed();
  };
  const transcript: Transcript = {
    events,
    marks,
    mark,
    failed,
    until: (enough) =>
      new Promise((resolve, reject) => {
        const check = (): void => {
          if (!enough(transcript) && !failure) return;
          waiters.delete(check);
          if (enough(transcript)) resolve();
          else reject(failure);
        };
        waiters.add(check);
        check();
      }),
    leave: () => subscription.unsubscribe(),
  };
  subscription.on('data', (event: ResolvedEvent) => {
    events.push(event);
    mark('event');
  });
  subscription.on('confirmation', () => mark('confirmation'));
  subscription.on('caughtUp', () => mark('caughtUp'));
  subscription.on('error', (error: Error) => {
    failure = error;
    fail(error);
    changed();
  });
  return transcript;
};

/** What `promise` rejects with; fails the test when it does not reject. */
export const rejection = async <E extends Error = Error>(promise: Promise<unknown>): Promise<E> => {
  try {
    await promise;
  } catch (error) {
    return error as E;
  }
  throw new Error('expected a rejection');
};

/** The exit code or signal of a child process, once it ended. */
export const exitOf = async (child: NodeJS.EventEmitter): Promise<number | string> => {
  const [code, signal] = (await once(child, 'exit')) as [number | null, string | null];
  return code ?? signal ?? 'unknown';
};
