/**
 * Runs something in one process at a time: whoever holds a PostgreSQL advisory lock of its session; the others stand
 * by. Called by reactor.ts.
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { Client } from 'pg';
import { openSession } from '../projections/session.ts';

/** How often one that stands by tries to take over. */
const standByMs = 1000;

const tryLock = async (client: Client, name: string): Promise<boolean> => {
  const { rows } = await client.query<{ held: boolean }>(
    `select pg_try_advisory_lock(hashtext('muster'), hashtext($1)) as held`,
    [name],
  );
  return rows[0]?.held === true;
};

/**
 * Takes the lock `name`, waiting as long as another process has it, and runs `task` with the session that holds it:
 * what `task` writes through that session is written by the holder alone. `signal` ends the wait and, like the loss
 * of the session, the signal given to `task`. The session ends with the task.
 */
export const asSoleHolder = async (
  databaseUrl: string,
  name: string,
  signal: AbortSignal,
  task: (session: Client, signal: AbortSignal) => Promise<void>,
): Promise<void> => {
  const session = await openSession(databaseUrl, `muster-${name}`);
  try {
    while (!(await tryLock(session.client, name))) await pause(standByMs, undefined, { signal });
    await task(session.client, AbortSignal.any([signal, session.lost]));
  } finally {
    await session.close();
  }
};
