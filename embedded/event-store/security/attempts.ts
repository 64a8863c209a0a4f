/**
 * Slows down guessing: each failed attempt of one address on one user doubles the pause until the next.
 * Called by credentials.ts before a password is looked at. Forgotten with the process, and never permanent.
 */
import { LRUCache } from 'lru-cache';

export interface Attempts {
  /** Counts an attempt and tells whether it may go on; attempts at the same time count too. */
  begin(name: string, address: string): boolean;
  /** Takes the attempts back: one succeeded. */
  succeed(name: string, address: string): void;
}

/** Attempts without any pause. */
const free = 5;
/** Short enough that a client whose password was corrected is soon let in again. */
const longestPauseMs = 60_000;
const remembered = 10_000;

interface Failures {
  readonly count: number;
  readonly freeAt: number;
}

/** `nowMs` is a clock that never runs backwards. */
export const openAttempts = (nowMs: () => number = () => performance.now()): Attempts => {
  const failures = new LRUCache<string, Failures>({ max: remembered });
  const keyOf = (name: string, address: string): string => JSON.stringify([name, address]);
  return {
    begin: (name, address) => {
      const key = keyOf(name, address);
      const known = failures.get(key);
      if (known && known.freeAt > nowMs()) return false;
      const count = (known?.count ?? 0) + 1;
      const pauseMs = count < free ? 0 : Math.min(longestPauseMs, 1_000 * 2 ** Math.min(count - free, 20));
      failures.set(key, { count, freeAt: nowMs() + pauseMs });
      return true;
    },
    succeed: (name, address) => {
      failures.delete(keyOf(name, address));
    },
  };
};
