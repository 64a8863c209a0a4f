/**
 * Counts what strangers make the proxy do, per window of time and for a bounded number of names. Opened by ask.ts and
 * sightings.ts.
 */
import { LRUCache } from 'lru-cache';
import type { Clock } from '../platform/clock.ts';

const mostNames = 10_000;

/** Answers whether `name` may do it once more within a window that allows `most`. */
export type Tally = (name: string, most: number) => boolean;

/** Opens one, empty. */
export const openTally = (clock: Clock, windowMs: number): Tally => {
  const counts = new LRUCache<string, { count: number; since: number }>({ max: mostNames });
  return (name, most) => {
    const now = clock();
    const found = counts.get(name);
    const current = found !== undefined && now - found.since < windowMs ? found : { count: 0, since: now };
    current.count += 1;
    counts.set(name, current);
    return current.count <= most;
  };
};
