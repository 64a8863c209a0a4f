/**
 * Finds or starts the PostgreSQL that holds a log, for the commands that work on the log itself.
 * Called by main.ts.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { MusterError } from '../platform/errors.ts';
import type { Logger } from '../platform/log.ts';
import { openSql, type Sql } from '../platform/sql.ts';
import { noLog } from './event-store/log-table.ts';
import { findDatabase, startPostgres } from './postgres.ts';

/** Names of the databases in the embedded PostgreSQL. */
export const databases = { muster: 'muster', eventStore: 'eventstore' } as const;

/**
 * Where a log may be: in `databaseUrl`, else in the database that the server of `dataDir` named while it runs
 * (`running`), else in the PostgreSQL of that folder, which is started for the purpose.
 */
export interface LogPlace {
  readonly dataDir: string;
  readonly databaseUrl?: string | undefined;
  readonly running?: { readonly eventStoreDatabaseUrl?: string | undefined } | undefined;
}

const urlInFolder = async (
  { dataDir }: LogPlace,
  deps: { log: Logger },
): Promise<{ url: string; stop(): Promise<void> }> => {
  // A mistyped folder must be an error, never a new and empty cluster.
  if (!existsSync(join(dataDir, 'postgres'))) {
    throw new MusterError('config-invalid', `There is no Muster data in ${dataDir}; check MUSTER_DATA_DIR.`, {
      field: 'MUSTER_DATA_DIR',
    });
  }
  const postgres = await startPostgres({ dataDir }, deps);
  try {
    const url = await findDatabase(postgres.url, databases.eventStore);
    if (url === undefined) throw noLog();
    return { url, stop: postgres.stop };
  } catch (error) {
    await postgres.stop();
    throw error;
  }
};

const find = async (
  place: LogPlace,
  deps: { log: Logger },
): Promise<{ url: string; stop(): Promise<void> }> => {
  const stop = async () => {};
  if (place.databaseUrl !== undefined) return { url: place.databaseUrl, stop };
  if (place.running === undefined) return urlInFolder(place, deps);
  const url = place.running.eventStoreDatabaseUrl;
  if (url === undefined) {
    throw new MusterError(
      'config-invalid',
      `The server of ${place.dataDir} has no embedded event log; it uses the one of its EVENTSTORE_URL.`,
    );
  }
  return { url, stop };
};

/**
 * Runs `use` over one connection to the log; whatever was started for it is stopped again.
 * Throws `config-invalid` where there is no log, `data-dir-in-use` or `dependency-unavailable`.
 */
export const withLogDatabase = async <T>(
  place: LogPlace,
  deps: { log: Logger },
  applicationName: string,
  use: (sql: Sql) => Promise<T>,
): Promise<T> => {
  const found = await find(place, deps);
  try {
    const sql = openSql(found.url, { max: 1, applicationName });
    try {
      return await use(sql);
    } finally {
      await sql.end({ timeout: 2 });
    }
  } finally {
    await found.stop();
  }
};
