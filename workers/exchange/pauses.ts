/**
 * Rests that Exchange asks for (429 and 503 with `Retry-After`): what one job of a tenant was told holds for all of
 * them, since Exchange counts by tenant and each further request makes the rest longer. Called by jobs through parts.
 */
import type { Clock } from '../../platform/clock.ts';
import { MusterError } from '../../platform/errors.ts';
import type { Cmdlets } from './cmdlets.ts';

/** More are not held: what is over is dropped first. */
const mostPauses = 10_000;

export interface Pauses {
  /** The same cmdlets: while their server rests they are refused with `exchange-throttled` and the time that is left. */
  over(key: string, cmdlets: Cmdlets): Cmdlets;
}

export const openPauses = (clock: Clock): Pauses => {
  const untilByKey = new Map<string, number>();
  const note = (key: string, until: number): void => {
    if (until <= (untilByKey.get(key) ?? 0)) return;
    if (untilByKey.size >= mostPauses) {
      const now = clock();
      for (const [other, end] of untilByKey) if (end <= now) untilByKey.delete(other);
      if (untilByKey.size >= mostPauses) return;
    }
    untilByKey.set(key, until);
  };
  const leftMs = (key: string): number => {
    const until = untilByKey.get(key);
    if (until === undefined) return 0;
    const left = until - clock();
    if (left <= 0) untilByKey.delete(key);
    return left;
  };
  return {
    over: (key, cmdlets) => ({
      async invoke(cmdlet, args) {
        const retryAfterMs = leftMs(key);
        if (retryAfterMs > 0)
          throw new MusterError('exchange-throttled', 'Exchange asked for a rest', { retryAfterMs });
        return cmdlets.invoke(cmdlet, args).catch((error: unknown) => {
          if (error instanceof MusterError && error.code === 'exchange-throttled' && error.retryAfterMs)
            note(key, clock() + error.retryAfterMs);
          throw error;
        });
      },
      close: () => cmdlets.close(),
    }),
  };
};
