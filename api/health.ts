/**
 * `/readyz`: whether this process can serve, part by part, with what to do when it cannot. Called by api/main.ts.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Deps } from '../platform/deps.ts';
import type { ProjectionWaiter } from '../projections/await.ts';
import type { ProjectorState } from '../projections/main.ts';

/** One part: `ok`, or what is wrong and what to do about it. */
export interface PartHealth {
  readonly ok: boolean;
  readonly detail: string;
  readonly advice?: string;
}

export interface Readiness {
  readonly ready: boolean;
  readonly parts: { readonly store: PartHealth; readonly sql: PartHealth; readonly projector: PartHealth };
}

/** A part that has not answered by then counts as away. */
const patienceMs = 2000;

const within = async <T>(answer: Promise<T>): Promise<T> => {
  const patience = new AbortController();
  const impatience = sleep(patienceMs, undefined, { signal: patience.signal }).then(
    () => Promise.reject(new Error('no answer')),
    () => new Promise<never>(() => {}),
  );
  try {
    return await Promise.race([answer, impatience]);
  } finally {
    patience.abort();
  }
};

const probe = (answer: Promise<unknown>, advice: string): Promise<PartHealth> =>
  within(answer).then(
    () => ({ ok: true, detail: 'answers' }),
    () => ({ ok: false, detail: 'does not answer', advice }),
  );

const projectorHealth = (state: ProjectorState | undefined, waiter: ProjectionWaiter): PartHealth => {
  // Without a projector of its own this process reads what another one projects.
  const status = state?.status ?? (waiter.position() >= 0n ? 'standby' : 'catching-up');
  switch (status) {
    case 'live':
      return { ok: true, detail: 'has caught up' };
    case 'standby':
      return { ok: true, detail: 'another process projects' };
    case 'catching-up':
      return { ok: false, detail: 'catches up with the log', advice: 'Wait; it goes on by itself.' };
    case 'failed':
      return {
        ok: false,
        detail: 'has stopped',
        advice: 'Its log line says why; an unreadable event needs the Muster version that wrote it.',
      };
    default:
      return status satisfies never;
  }
};

/** Looks at every part now. */
export const readiness = async (
  deps: Deps,
  waiter: ProjectionWaiter,
  projector: { state(): ProjectorState } | undefined,
): Promise<Readiness> => {
  const [store, sql] = await Promise.all([
    probe(deps.store.lastPosition(), 'Start the event store, or correct EVENTSTORE_URL.'),
    probe(deps.sql`select 1`.execute(), 'Start PostgreSQL, or correct DATABASE_URL.'),
  ]);
  const parts = { store, sql, projector: projectorHealth(projector?.state(), waiter) };
  return { ready: Object.values(parts).every(({ ok }) => ok), parts };
};
