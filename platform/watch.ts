/**
 * Proves that folded aggregates are current without reading each of them: one subscription per process follows the
 * changes of what rarely changes, and about once a second the end of the log is asked for. Once the subscription has
 * come that far, everything appended before the question has been seen. What it cannot prove is read as ever.
 * Opened in deps.ts; used by handle.ts.
 *
 * There is no timer: loads ask, so that an idle process asks nothing. Tenants cost nothing but their cached states.
 */
import { LRUCache } from 'lru-cache';
import type { Clock } from './clock.ts';
import type { Batch, EventStore } from './event-store.ts';
import type { Logger } from './log.ts';

/** Categories that are watched: loaded at most check-ins and requests, seldom changed. Any other is read. */
export const watchedCategories: readonly string[] = [
  'account',
  'api-key',
  'compliance-policy',
  'directory',
  'group',
  'identity-provider',
  'licence',
  'policy',
  'proxy',
  'role',
  'safeguard',
  'sign-in',
  'task-bundle',
  'template',
  'tenant',
  'user',
  'user-group',
];
const watched = new Set(watchedCategories);

/** Whether aggregates of the category are watched. */
export const isWatched = (category: string): boolean => watched.has(category);

/** One subscription's proof: everything appended before `provenAt` (ms since the epoch) has been seen. */
export interface Proof {
  readonly provenAt: number;
}

/** What was known when a read of the log began. */
export interface Mark {
  readonly proof: Proof | undefined;
  readonly told: number;
}

export interface Watch {
  /** Asks how far the log is, unless that was asked a moment ago. To be called by every load. */
  wake(): void;
  /** To be called before the log is read or appended to, for `covers`. */
  mark(): Mark;
  /** The proof that counts for a state at `revision` that was found since `mark`; undefined when none does. */
  covers(mark: Mark, stream: string, revision: bigint): Proof | undefined;
  /** Calls back with every change seen: the stream's new revision, or 'deleted'. */
  onChange(listener: (stream: string, revision: bigint | 'deleted') => void): void;
  close(): Promise<void>;
}

/** A subscription that runs, how far it has come, and what was asked: when, and where the log ended then. */
interface Session {
  provenAt: number;
  position: bigint;
  questions: readonly { readonly at: number; readonly end: bigint }[];
}

const askEveryMs = 1000;
/** Older questions prove nothing that anybody still asks for. */
const mostQuestions = 8;
/** Changes remembered, against reads that began before them and end after them. */
const remembered = 10_000;
const deletedRevision = 2n ** 63n - 1n;
const longestPauseMs = 30_000;

const prove = (session: Session): void => {
  const answered = session.questions.filter(({ end }) => end <= session.position);
  if (answered.length === 0) return;
  session.provenAt = Math.max(session.provenAt, ...answered.map(({ at }) => at));
  session.questions = session.questions.filter(({ end }) => end > session.position);
};

/** Makes the watch. It follows nothing before the first load. */
export const openWatch = (deps: {
  store: Pick<EventStore, 'follow' | 'lastPosition'>;
  clock: Clock;
  log: Logger;
}): Watch => {
  const { store, clock, log } = deps;
  const stopping = new AbortController();
  const listeners = new Set<Parameters<Watch['onChange']>[0]>();
  const seen = new LRUCache<string, bigint>({ max: remembered });
  let told = 0;
  let session: Session | undefined;
  let following: Promise<void> = Promise.resolve();
  let askedAt = Number.NEGATIVE_INFINITY;
  let pausedUntil = Number.NEGATIVE_INFINITY;
  let failures = 0;

  const tell = (stream: string, revision: bigint | 'deleted') => {
    told += 1;
    seen.set(stream, revision === 'deleted' ? deletedRevision : revision);
    for (const listener of listeners) listener(stream, revision);
  };

  const take = (own: Session, { events, deleted, position }: Batch) => {
    for (const { stream, revision } of events) tell(stream, revision);
    for (const stream of deleted) tell(stream, 'deleted');
    if (position > own.position) own.position = position;
    prove(own);
  };

  const follow = async (own: Session): Promise<void> => {
    try {
      for await (const batch of store.follow({
        afterPosition: own.position,
        categories: watchedCategories,
        checkpoints: true,
        signal: stopping.signal,
      })) {
        take(own, batch);
        failures = 0;
      }
    } catch (err) {
      const pauseMs = Math.min(longestPauseMs, askEveryMs * 2 ** failures);
      failures += 1;
      pausedUntil = clock() + pauseMs;
      log.warn({ err, pauseMs }, 'the watch was interrupted: the log is read instead');
    } finally {
      if (session === own) session = undefined;
    }
  };

  const ask = async (at: number): Promise<void> => {
    try {
      const end = await store.lastPosition();
      if (stopping.signal.aborted) return;
      if (session) {
        session.questions = [...session.questions, { at, end }].slice(-mostQuestions);
        prove(session);
        return;
      }
      session = { provenAt: Number.NEGATIVE_INFINITY, position: end, questions: [] };
      following = follow(session);
    } catch (err) {
      log.debug({ err }, 'the watch got no answer: the log is read instead');
    }
  };

  return {
    wake() {
      const now = clock();
      if (now - askedAt < askEveryMs || now < pausedUntil || stopping.signal.aborted) return;
      askedAt = now;
      void ask(now);
    },
    mark: () => ({ proof: session, told }),
    covers({ proof, told: before }, stream, revision) {
      // Of what changed before the last `remembered` changes, nothing is known any more.
      if (told - before >= remembered || (seen.peek(stream) ?? -1n) > revision) return undefined;
      return proof;
    },
    onChange(listener) {
      listeners.add(listener);
    },
    async close() {
      stopping.abort();
      await following;
    },
  };
};
