/**
 * Runs something in one process at a time: whoever holds a PostgreSQL advisory lock of its session; the others stand
 * by. Called by reactor.ts.
 */
import { setTimeout as pause } from 'node:timers/promises';
import pg from 'pg';
import { databaseOptions } from '../platform/sql.ts';

/** How often one that stands by tries to take over. */
const standByMs = 1000;
const connectTimeoutMs = 10_000;

const openSession = async (databaseUrl: string): Promise<pg.Client> => {
  const { ssl, ...rest } = databaseOptions(databaseUrl);
  const client = new pg.Client({
    ...rest,
    ...(ssl ? { ssl: { rejectUnauthorized: ssl === 'verify-full' } } : {}),
    application_name: 'muster-reactor',
    connectionTimeoutMillis: connectTimeoutMs,
    keepAlive: true,
  });
  return client;
};

/**
 * Takes the lock `key`, waiting as long as another process has it, and runs `task` with the session that holds it.
 * What `task` writes through that session is written by the holder alone. `signal` ends the wait and, like the loss
 * of the session, the signal given to `task`. The session ends with the task.
 */
export const asSoleHolder = async (
  databaseUrl: string,
  key: bigint,
  signal: AbortSignal,
  task: (session: pg.Client, signal: AbortSignal) => Promise<void>,
): Promise<void> => {
  const client = await openSession(databaseUrl);
  const lost = new AbortController();
  client.on('error', (error) => lost.abort(error));
  client.on('end', () => lost.abort());
  try {
    await client.connect();
    const tryLock = async (): Promise<boolean> => {
      const { rows } = await client.query<{ held: boolean }>('select pg_try_advisory_lock($1) as held', [
        key.toString(),
      ]);
      return rows[0]?.held === true;
    };
    while (!(await tryLock())) await pause(standByMs, undefined, { signal });
    await task(client, AbortSignal.any([signal, lost.signal]));
  } finally {
    await client.end().catch(() => {});
  }
};
