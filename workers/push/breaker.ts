/**
 * A breaker around a push provider: after several outages in a row it answers `push-unavailable` by itself for a
 * while, so that a fleet's wakes do not pile up on a service that is down. Called by index.ts.
 */
import type { Clock } from '../../platform/clock.ts';
import { MusterError } from '../../platform/errors.ts';
import type { PushProvider } from './provider.ts';

/** Outages in a row after which the breaker opens, and for how long unless the service named a time. */
const tolerated = 5;
const openForMs = 30_000;

const isOutage = (error: unknown): error is MusterError =>
  error instanceof MusterError && error.code === 'push-unavailable';

/** Wraps a provider. Once the time is over, calls pass again; the first one that fails opens the breaker anew. */
export const withBreaker = (provider: PushProvider, clock: Clock): PushProvider => {
  let outages = 0;
  let openUntil = 0;
  const noteOutage = (error: MusterError): void => {
    outages += 1;
    if (outages >= tolerated) openUntil = clock() + Math.max(openForMs, error.retryAfterMs ?? 0);
  };
  return {
    async send(push, message) {
      const retryAfterMs = openUntil - clock();
      if (retryAfterMs > 0) {
        throw new MusterError(
          'push-unavailable',
          `${push.provider} is given a rest after ${outages} outages`,
          {
            retryAfterMs,
          },
        );
      }
      try {
        const sent = await provider.send(push, message);
        outages = 0;
        return sent;
      } catch (error) {
        if (isOutage(error)) noteOutage(error);
        else outages = 0;
        throw error;
      }
    },
    close: () => provider.close(),
  };
};
