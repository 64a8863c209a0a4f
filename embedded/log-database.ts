/**
 * Finds or starts the PostgreSQL that holds a log, for the commands that work on the log itself.
 * Called by main.ts and cli/eventstore/.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { MusterError } from '../platform/errors.ts';
import type { Logger } from '../platform/log.ts';
import { openSql, type Sql } from '../platform/sql.ts';
import { noLog } from './event-store/log-table.ts';
import { ensureDatabase, findDatabase, startPostgres } from './postgres.ts';

/** Names of the databases in the embedded PostgreSQL. */
export const databases = { muster: 'muster', eventStore: 'eventstore' } as const;

/**
 * Where a log may be: in `databaseUrl`, else in the database that the server of `dataDir` named while it runs
 * (`running`), else in the PostgreSQL of that folder, which is started for the purpose.
 */
export interface LogPlace {
  readonly dataDir: string;
  readonly databaseUrl?: string | undefined;
  readonly running?:
    | { readonly eventStoreDatabaseUrl?: string | undefined; readonly databaseUrl?: string | undefined }
    | undefined;
}

/** URLs of the log's database and of the one for everything else; the same where DATABASE_URL names one. */
export interface Databases {
  readonly logUrl: string;
  readonly musterUrl: string;
}

const inFolder = async <T>(
  { dataDir }: LogPlace,
  mayCreate: boolean,
  deps: { log: Logger },
  use: (databases: Databases) => Promise<T>,
): Promise<T> => {
  // A mistyped folder must be an error, never a new and empty cluster.
  if (!mayCreate && !existsSync(join(dataDir, 'postgres'))) {
    throw new MusterError('config-invalid', `There is no Muster data in ${dataDir}; check MUSTER_DATA_DIR.`, {
      field: 'MUSTER_DATA_DIR',
    });
  }
  const postgres = await startPostgres({ dataDir }, deps);
  try {
    const find = mayCreate ? ensureDatabase : findDatabase;
    const logUrl = await find(postgres.url, databases.eventStore);
    if (logUrl === undefined) throw noLog();
    return await use({ logUrl, musterUrl: (await find(postgres.url, databases.muster)) ?? logUrl });
  } finally {
    await postgres.stop();
  }
};

/**
 * Runs `use` with the databases of an installation; a PostgreSQL started for the purpose is stopped again. A folder or
 * database without a log is filled only with `mayCreate`.
 * Throws `config-invalid` where there is no log, `data-dir-in-use` or `dependency-unavailable`.
 */
export const withDatabases = <T>(
  place: LogPlace & { readonly mayCreate?: boolean },
  deps: { log: Logger },
  use: (databases: Databases) => Promise<T>,
): Promise<T> => {
  const { databaseUrl, running, mayCreate = false } = place;
  if (databaseUrl !== undefined) return use({ logUrl: databaseUrl, musterUrl: databaseUrl });
  if (running === undefined) return inFolder(place, mayCreate, deps, use);
  const logUrl = running.eventStoreDatabaseUrl;
  if (logUrl === undefined) {
    throw new MusterError(
      'config-invalid',
      `The server of ${place.dataDir} has no embedded event log; it uses the one of its EVENTSTORE_URL.`,
    );
  }
  return use({ logUrl, musterUrl: running.databaseUrl ?? logUrl });
};

/** Runs `use` over one connection to the log. Throws as `withDatabases`. */
export const withLogDatabase = <T>(
  place: LogPlace,
  deps: { log: Logger },
  applicationName: string,
  use: (sql: Sql) => Promise<T>,
): Promise<T> =>
  withDatabases(place, deps, async ({ logUrl }) => {
    const sql = openSql(logUrl, { max: 1, applicationName });
    try {
      return await use(sql);
    } finally {
      await sql.end({ timeout: 2 });
    }
  });
