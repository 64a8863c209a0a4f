/**
 * Waits until the read models have reached a position of the log, and tells when they advance: one LISTEN connection
 * per process. Called by GraphQL mutations and subscriptions and by the feed of the EAS proxies.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Deps } from '../platform/deps.ts';
import { projectedChannel } from './schema.ts';
import { openSession } from './session.ts';

/** Knows how far every read model has come. */
export interface ProjectionWaiter {
  /** True once every read model shows the log up to `position`; false when `timeoutMs` passed first. */
  reached(position: bigint, timeoutMs: number): Promise<boolean>;
  /** How far every read model has come, as last heard; -1n before the first event. */
  position(): bigint;
  /** Calls `listener` after each commit of the projector, until the returned function is called. */
  onAdvance(listener: (position: bigint) => void): () => void;
  /** Ends the connection; those who still wait are answered false. */
  close(): Promise<void>;
}

interface Waiting {
  readonly position: bigint;
  readonly settle: (reached: boolean) => void;
}

const firstPauseMs = 100;
const longestPauseMs = 5000;

/** The position that every read model in use has reached, from its checkpoints; -1n while there are none. */
const leastPosition = 'select min(position)::text as position from read.checkpoints where live';
const orNone = (error: { code?: string }): { position: string | null }[] => {
  // Nobody has projected yet: the tables are not there.
  if (error.code === '42P01' || error.code === '3F000') return [];
  throw error;
};
const positionIn = (rows: readonly { position: string | null }[]): bigint => BigInt(rows[0]?.position ?? -1);

/** Opens the waiter; rejects when the database cannot be reached. Later losses of the connection are repaired. */
export const openProjectionWaiter = async (
  deps: Pick<Deps, 'databaseUrl' | 'sql' | 'log'>,
): Promise<ProjectionWaiter> => {
  const closing = new AbortController();
  const waiting = new Set<Waiting>();
  const listeners = new Set<(position: bigint) => void>();
  let current = -1n;

  const advance = (position: bigint): void => {
    current = position;
    for (const one of waiting) if (one.position <= position) one.settle(true);
    for (const listener of listeners) {
      try {
        listener(position);
      } catch (err) {
        deps.log.error({ err }, 'a listener to read models failed');
      }
    }
  };

  const listen = async () => {
    const session = await openSession(deps.databaseUrl, 'muster-await');
    let told = false;
    session.client.on('notification', ({ payload }) => {
      told = true;
      if (payload) advance(BigInt(payload));
    });
    await session.client.query(`listen ${projectedChannel}`);
    // What was told while nobody listened; whatever is told from now on is newer.
    const asked = session.client.query<{ position: string | null }>(leastPosition);
    const before = positionIn(await asked.then(({ rows }) => rows, orNone));
    if (!told) advance(before);
    return session;
  };

  const first = await listen();
  const keepListening = async (): Promise<void> => {
    let session = first;
    while (!closing.signal.aborted) {
      const gone = AbortSignal.any([session.lost, closing.signal]);
      if (!gone.aborted)
        await new Promise((resolve) => gone.addEventListener('abort', resolve, { once: true }));
      await session.close();
      for (let failures = 0; !closing.signal.aborted; failures += 1) {
        try {
          session = await listen();
          break;
        } catch (err) {
          deps.log.warn({ err }, 'cannot listen to read models');
          const pauseMs = Math.min(longestPauseMs, firstPauseMs * 2 ** failures);
          await sleep(pauseMs, undefined, { signal: closing.signal }).catch(() => {});
        }
      }
    }
    await session.close();
  };
  const listening = keepListening();

  return {
    async reached(position, timeoutMs) {
      if (current >= position) return true;
      const heard = await new Promise<boolean>((resolve) => {
        const settle = (reached: boolean) => {
          clearTimeout(timer);
          waiting.delete(one);
          resolve(reached);
        };
        const timer = setTimeout(() => settle(false), timeoutMs);
        const one: Waiting = { position, settle };
        waiting.add(one);
        if (closing.signal.aborted) settle(false);
      });
      if (heard || closing.signal.aborted) return heard;
      // The telling may have been lost with its connection: the checkpoint itself has the last word.
      const rows = await deps.sql.unsafe<{ position: string | null }[]>(leastPosition).catch(() => []);
      return positionIn(rows) >= position;
    },
    position: () => current,
    onAdvance(listener) {
      listeners.add(listener);
      return () => {
        listeners.delete(listener);
      };
    },
    async close() {
      closing.abort();
      for (const one of waiting) one.settle(false);
      await listening;
    },
  };
};
