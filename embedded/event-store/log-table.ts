/**
 * What the offline commands ask of a database before they touch its log: whether there is one, and of which layout.
 * Called by verify.ts and scavenge.ts.
 */
import { MusterError } from '../../platform/errors.ts';
import type { Sql } from '../../platform/sql.ts';
import { ddl, layout, writerLock } from './schema.ts';

/** PostgreSQL's word for a page or an index it cannot make sense of (class XX: data_corrupted, index_corrupted). */
export const isDamage = (error: unknown): boolean =>
  /^XX/.test(String((error as { code?: unknown }).code ?? ''));

/**
 * The rows of a result. postgres.js 3.4.9 counts on from the rows that came before an error: the result of the next
 * query on that connection begins with as many holes, which `filter` passes over.
 */
export const withoutHoles = <T>(rows: readonly T[]): T[] => rows.filter(() => true);

/** Whether the table is there. */
export const hasTable = async (sql: Sql, name: 'events' | 'scavenged'): Promise<boolean> => {
  const rows = await sql<{ found: string | null }[]>`
    select to_regclass(${`event_store.${name}`})::text as found`;
  return withoutHoles(rows)[0]?.found != null;
};

/** What `config-invalid` says of a database, or of a server, that holds no log. */
export const noLog = (): MusterError =>
  new MusterError(
    'config-invalid',
    'This database holds no event log; check MUSTER_DATA_DIR and DATABASE_URL.',
  );

/** Throws `config-invalid` when the database holds no log. */
export const expectLog = async (sql: Sql): Promise<void> => {
  if (!(await hasTable(sql, 'events'))) throw noLog();
};

/** Takes a lock of the session; false while another session holds it. */
export const tryLock = async (sql: Sql, lock: number): Promise<boolean> => {
  const [taken] = await sql<{ ok: boolean }[]>`select pg_try_advisory_lock(${lock}) as ok`;
  return taken?.ok === true;
};

/** Gives a lock of the session back. */
export const unlock = async (sql: Sql, lock: number): Promise<void> => {
  await sql`select pg_advisory_unlock(${lock})`;
};

/**
 * Brings a log of an older layout up to the present one, while no server writes to it.
 * Throws `config-invalid` for a newer layout, or while a server of an older version has the log open.
 */
export const expectLayout = async (sql: Sql): Promise<void> => {
  const [found] = await sql<{ layout: number }[]>`select layout from event_store.store`;
  if (found?.layout === layout) return;
  if (found === undefined || found.layout > layout) {
    throw new MusterError(
      'config-invalid',
      `The event store on disk has layout ${found?.layout}; this version of Muster reads layout ${layout}.`,
    );
  }
  if (!(await tryLock(sql, writerLock))) {
    throw new MusterError(
      'config-invalid',
      'The running server is of an older version than this command; restart it with this version first.',
    );
  }
  try {
    await sql.unsafe(ddl);
  } finally {
    await unlock(sql, writerLock);
  }
};
