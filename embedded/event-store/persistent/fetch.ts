/**
 * Fetches a group's events while it has consumers, as fast as they leave the group's buffer.
 * Started and stopped by group.ts. Stopped, it holds neither a timer nor a place in any queue.
 */
import type { StoredEvent } from '../event.ts';
import type { Filter } from '../filter.ts';
import { asTheyAre, type Resolved, resolveLinks } from '../links.ts';
import { followAll, followStream, type Sources, type Subscriber } from '../subscriptions.ts';
import { allStreams, type Definition, placeOf } from './definition.ts';
import { openMessage } from './message.ts';
import type { Progress } from './progress.ts';
import type { Waiting } from './waiting.ts';

/** The fetching side of a group. */
export interface Fetcher {
  start(): void;
  stop(): void;
  /** Whether it has reached the end of the log since it was started. */
  isCaughtUp(): boolean;
}

/** `fetched` is called when something was added or passed over, `failed` when the source cannot be read. */
export const openFetcher = (
  definition: Definition,
  filter: Filter | undefined,
  parts: { sources: Sources; progress: Progress; waiting: Waiting },
  on: { fetched(): void; failed(error: Error): void },
): Fetcher => {
  const { sources, progress, waiting } = parts;
  const { settings, stream } = definition;
  let following: AbortController | undefined;
  let isCaughtUp = false;

  const resolve = async (events: readonly StoredEvent[]): Promise<Resolved[]> =>
    settings.resolveLinks ? resolveLinks(sources.sql, sources.cache, events) : asTheyAre(events);

  const take = async (events: readonly StoredEvent[], signal: AbortSignal): Promise<void> => {
    for (let at = 0; at < events.length; at += settings.readBatchSize) {
      await waiting.room(signal);
      const batch = events.slice(at, at + settings.readBatchSize);
      const wanted = filter ? batch.filter(filter) : batch;
      // A link whose target is gone is delivered as a link alone, as reads do.
      const resolved = await resolve(wanted);
      if (signal.aborted) return;
      let next = 0;
      for (const event of batch) {
        if (wanted[next] === event) {
          progress.fetched(placeOf(definition, event));
          waiting.add(openMessage(resolved[next] as Resolved));
          next += 1;
        } else progress.passed(placeOf(definition, event));
      }
      on.fetched();
    }
  };

  const follow = async (signal: AbortSignal): Promise<void> => {
    const to: Subscriber = {
      signal,
      events: (events) => take(events, signal),
      checkpoint: async () => {},
      caughtUp: async () => {
        if (!signal.aborted) isCaughtUp = true;
      },
    };
    const after = progress.lastFetched();
    if (stream === allStreams) await followAll(sources, after, undefined, to);
    // Nothing follows a tombstone; the consumers stay for what is still to be delivered again.
    else if ((await followStream(sources, stream, after, to)) === 'deleted') isCaughtUp = !signal.aborted;
  };

  const stop = (): void => {
    following?.abort();
    following = undefined;
    isCaughtUp = false;
  };

  return {
    start: () => {
      if (following) return;
      const controller = new AbortController();
      following = controller;
      follow(controller.signal).catch((error: Error) => {
        if (controller.signal.aborted) return;
        stop();
        on.failed(error);
      });
    },
    stop,
    isCaughtUp: () => isCaughtUp,
  };
};
