/**
 * Real servers for a test file: a fresh database and an event store of its own on the run's shared PostgreSQL.
 * Called by every integration test; run.ts starts the shared PostgreSQL and names it in MUSTER_TEST_POSTGRES.
 *
 * With EVENTSTORE_URL, DATABASE_URL or REDIS_URL set, those take the place of the embedded parts.
 */
import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { start as startEventStore } from '../../embedded/event-store/main.ts';
import { ensureDatabase, startPostgres } from '../../embedded/postgres.ts';
import { type Clock, systemClock } from '../../platform/clock.ts';
import { type Deps, openDeps } from '../../platform/deps.ts';
import { type Logger, openLog } from '../../platform/log.ts';
import { openSql } from '../../platform/sql.ts';

/** Servers of one test file; `stop` ends everything and drops the database. */
export interface Servers {
  readonly deps: Deps;
  readonly databaseUrl: string;
  readonly eventStoreUrl: string;
  stop(): Promise<void>;
}

/** Logger of tests: silent unless MUSTER_TEST_LOG names a level. */
export const testLog: Logger = openLog({ level: process.env['MUSTER_TEST_LOG'] ?? 'silent', name: 'test' });

/** Starts a PostgreSQL in a temporary folder; `stop` removes it. */
export const startTemporaryPostgres = async (): Promise<{ url: string; stop(): Promise<void> }> => {
  const dataDir = mkdtempSync(join(tmpdir(), 'muster-test-'));
  const postgres = await startPostgres({ dataDir }, { log: testLog });
  return {
    url: postgres.url,
    async stop() {
      await postgres.stop();
      rmSync(dataDir, { recursive: true, force: true });
    },
  };
};

const sharedPostgres = async (): Promise<{ url: string; stop(): Promise<void> }> => {
  const url = process.env['DATABASE_URL'] ?? process.env['MUSTER_TEST_POSTGRES'];
  return url === undefined ? startTemporaryPostgres() : { url, stop: async () => {} };
};

/** A database for a part that is not Muster's; `stop` drops it. */
export const openDatabase = async (): Promise<{ url: string; stop(): Promise<void> }> => {
  const postgres = await sharedPostgres();
  const name = `test_${randomUUID().replaceAll('-', '')}`;
  const url = await ensureDatabase(postgres.url, name);
  return {
    url,
    async stop() {
      const admin = openSql(postgres.url, { max: 1 });
      await admin`drop database if exists ${admin(name)} with (force)`;
      await admin.end();
      await postgres.stop();
    },
  };
};

/** Starts what a test file needs. Tests that need no job queue still get one; it connects on first use. */
export const startServers = async (options: { clock?: Clock; log?: Logger } = {}): Promise<Servers> => {
  const log = options.log ?? testLog;
  const postgres = await sharedPostgres();
  const name = `test_${randomUUID().replaceAll('-', '')}`;
  const databaseUrl = await ensureDatabase(postgres.url, name);
  const configured = process.env['EVENTSTORE_URL'];
  const eventDatabaseUrl = configured ? undefined : await ensureDatabase(postgres.url, `${name}_events`);
  const eventStore = eventDatabaseUrl
    ? await startEventStore({ port: 0, databaseUrl: eventDatabaseUrl }, { log })
    : undefined;
  const eventStoreUrl = configured ?? (eventStore?.connectionString as string);
  const redisUrl = process.env['REDIS_URL'];
  const deps = await openDeps({ databaseUrl, eventStoreUrl, redisUrl }, log, options.clock ?? systemClock);
  return {
    deps,
    databaseUrl,
    eventStoreUrl,
    async stop() {
      await deps.close();
      await eventStore?.stop();
      const admin = openSql(postgres.url, { max: 1 });
      for (const database of eventDatabaseUrl ? [name, `${name}_events`] : [name]) {
        await admin`drop database if exists ${admin(database)} with (force)`;
      }
      await admin.end();
      await postgres.stop();
    },
  };
};
