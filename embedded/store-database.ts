/**
 * The databases of an installation, for commands that work on them directly: of a running server, of a data folder
 * whose PostgreSQL is started for the purpose, or of DATABASE_URL. Called by main.ts and cli/eventstore/.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { MusterError } from '../platform/errors.ts';
import type { Logger } from '../platform/log.ts';
import { ensureDatabase, startPostgres } from './postgres.ts';

/** Names of the databases in the embedded PostgreSQL. */
export const databases = { muster: 'muster', eventStore: 'eventstore' } as const;

/** Where an event store lives: `runningUrl` is any database of the PostgreSQL that runs in `dataDir`. */
export interface StorePlace {
  readonly dataDir: string;
  readonly databaseUrl?: string | undefined;
  readonly runningUrl?: string | undefined;
}

/** URLs of the log's database and of the one for everything else; the same where DATABASE_URL names one. */
export interface StoreDatabases {
  readonly storeUrl: string;
  readonly musterUrl: string;
}

// A mistyped folder must be an error, never a new and empty cluster that verifies well.
const requireFolder = (dataDir: string): void => {
  if (existsSync(join(dataDir, 'postgres'))) return;
  throw new MusterError('config-invalid', `There is no Muster data in ${dataDir}; check MUSTER_DATA_DIR.`, {
    field: 'MUSTER_DATA_DIR',
  });
};

const inServer = async (serverUrl: string): Promise<StoreDatabases> => ({
  storeUrl: await ensureDatabase(serverUrl, databases.eventStore),
  musterUrl: await ensureDatabase(serverUrl, databases.muster),
});

/**
 * Runs `use` with the databases of an installation. A folder without Muster data is filled only with `mayCreate`.
 * Throws `config-invalid` where there is no data, `data-dir-in-use` or `dependency-unavailable`.
 */
export const withStoreDatabase = async <T>(
  { dataDir, databaseUrl, runningUrl, mayCreate = false }: StorePlace & { mayCreate?: boolean },
  deps: { log: Logger },
  use: (databases: StoreDatabases) => Promise<T>,
): Promise<T> => {
  if (databaseUrl !== undefined) return use({ storeUrl: databaseUrl, musterUrl: databaseUrl });
  if (runningUrl !== undefined) return use(await inServer(runningUrl));
  if (!mayCreate) requireFolder(dataDir);
  const postgres = await startPostgres({ dataDir }, deps);
  try {
    return await use(await inServer(postgres.url));
  } finally {
    await postgres.stop();
  }
};
