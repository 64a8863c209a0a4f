/**
 * Elects the one process that projects: whoever holds a session advisory lock of the database. Called by run.ts.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { openSession, type Session } from './session.ts';

/** "muster" and "projector" as two int4 keys: nobody else's lock in a shared database. */
const lock = 'hashtext($1), hashtext($2)';
const keys = ['muster', 'projector'];
const retryMs = 1000;

/**
 * Takes the lead when it is free, else tries again each second until `signal` aborts. Closing the session gives the
 * lead up. Asking again and again, rather than waiting inside PostgreSQL, keeps standbys from holding back vacuum.
 */
export const takeLead = async (
  databaseUrl: string,
  signal: AbortSignal,
  onStandby: () => void,
): Promise<Session> => {
  const session = await openSession(databaseUrl, 'muster-projector');
  try {
    for (;;) {
      signal.throwIfAborted();
      const { rows } = await session.client.query<{ taken: boolean }>(
        `select pg_try_advisory_lock(${lock}) as taken`,
        keys,
      );
      if (rows[0]?.taken) return session;
      onStandby();
      await sleep(retryMs, undefined, { signal });
    }
  } catch (error) {
    await session.close();
    throw error;
  }
};
