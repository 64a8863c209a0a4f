/**
 * A reader that follows the log through every crash, resuming after the last event it was given: what it has seen in the
 * end must be the log. Called by soak.ts.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { type EventStoreDBClient, type Position, START, streamNameFilter } from '@eventstore/db-client';

/** What the follower was given, in order. */
export interface Follower {
  readonly seen: { readonly id: string; readonly position: bigint }[];
  /** Resolves once the event `id` was seen. */
  saw(id: string): Promise<void>;
  stop(): Promise<void>;
}

/** Follows the streams whose names begin with `prefix`. */
export const followThrough = (client: EventStoreDBClient, prefix: string): Follower => {
  const seen: { id: string; position: bigint }[] = [];
  const waiters = new Set<() => void>();
  const stopping = new AbortController();
  const follow = async (): Promise<void> => {
    let after: Position | typeof START = START;
    while (!stopping.signal.aborted) {
      const subscription = client.subscribeToAll({
        fromPosition: after,
        filter: streamNameFilter({ prefixes: [prefix] }),
      });
      const leave = () => void subscription.unsubscribe().catch(() => {});
      stopping.signal.addEventListener('abort', leave);
      try {
        for await (const { event } of subscription) {
          if (!event?.position) continue;
          seen.push({ id: event.id, position: event.position.commit });
          after = event.position;
          for (const check of [...waiters]) check();
        }
      } catch {
        // The connection broke with the server; go on behind the last event.
        await delay(20);
      } finally {
        stopping.signal.removeEventListener('abort', leave);
      }
    }
  };
  const following = follow();
  return {
    seen,
    saw: (id) =>
      new Promise((resolve) => {
        const check = () => {
          if (seen.at(-1)?.id !== id) return;
          waiters.delete(check);
          resolve();
        };
        waiters.add(check);
        check();
      }),
    stop: async () => {
      stopping.abort();
      await following;
    },
  };
};
