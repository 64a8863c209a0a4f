/**
 * Parked events: those a group gave up on, as links in a stream of their own, until somebody replays them.
 * Called by group.ts. A replayed event leaves the parked stream only when it is finished: a crash repeats it.
 */
import { randomUUID } from 'node:crypto';
import { metastreamOf, type StoredEvent } from '../event.ts';
import { type Resolved, resolveLinks } from '../links.ts';
import { rangeOf, readStream } from '../reader.ts';
import type { Sources } from '../subscriptions.ts';
import type { Writer } from '../writer.ts';
import { type Message, openMessage } from './message.ts';

/** The parked events of one group. */
export interface Parked {
  /** Adds a link to the event; false when the store could not write. */
  park(message: Message, reason: string): Promise<boolean>;
  /** How many there are. */
  count(): Promise<bigint>;
  /** Parked events from the first that is not being replayed yet, up to revision `stopAt` (exclusive), page by page. */
  replay(stopAt: bigint | undefined): AsyncGenerator<Message[]>;
  /** A replayed event is finished; removes it once all before it are too. */
  finished(revision: bigint): void;
}

const linkTo = (event: StoredEvent, reason: string) => ({
  id: randomUUID(),
  type: '$>',
  json: false,
  data: Buffer.from(`${event.revision}@${event.stream}`),
  metadata: Buffer.from(
    JSON.stringify({
      added: new Date().toISOString(),
      reason,
      subscriptionEventNumber: event.revision.toString(),
    }),
  ),
});

/**
 * The parked events in `stream`. `resolve` turns events of the group's source into what its consumers get.
 */
export const openParked = (
  sources: Sources,
  writer: Writer,
  stream: string,
  resolve: (events: readonly StoredEvent[]) => Promise<Resolved[]>,
): Parked => {
  /** Replayed and not finished yet. */
  const unfinished = new Set<bigint>();
  let replayedTo = -1n;
  let truncating = false;
  let truncatedTo = -1n;

  const range = async () => rangeOf(stream, await sources.cache.committed(stream));

  const truncate = async (): Promise<void> => {
    if (truncating) return;
    truncating = true;
    for (;;) {
      const first = unfinished.values().next().value ?? replayedTo + 1n;
      if (first <= truncatedTo) break;
      const data = Buffer.from(`{"$tb":${first}}`);
      const events = [{ id: randomUUID(), type: '$metadata', json: true, data, metadata: new Uint8Array() }];
      const outcome = await writer.submit({
        kind: 'append',
        stream: metastreamOf(stream),
        expected: 'any',
        events,
      });
      if (!outcome.done) break;
      truncatedTo = first;
    }
    truncating = false;
  };

  const messagesOf = async (links: readonly StoredEvent[]): Promise<Message[]> => {
    const found = await resolveLinks(sources.sql, sources.cache, links);
    const events = found.flatMap(({ event }) => event ?? []);
    const resolved = new Map((await resolve(events)).map((one, index) => [events[index], one]));
    return found.flatMap(({ event, link }) => {
      const { revision } = link as StoredEvent;
      unfinished.add(revision);
      const one = event && resolved.get(event);
      if (event && one?.event) return [openMessage(one, event, revision)];
      // The event itself is gone meanwhile; there is nothing left to process.
      finished(revision);
      return [];
    });
  };

  const finished = (revision: bigint): void => {
    unfinished.delete(revision);
    void truncate();
  };

  return {
    park: async (message, reason) => {
      const events = [linkTo(message.source, reason)];
      const outcome = await writer.submit({ kind: 'append', stream, expected: 'any', events });
      return outcome.done;
    },
    count: async () => {
      const found = await range();
      return typeof found === 'string' ? 0n : found.to - found.from + 1n;
    },
    replay: async function* (stopAt) {
      const found = await range();
      if (typeof found === 'string') return;
      const last = stopAt === undefined || stopAt > found.to ? found.to : stopAt - 1n;
      const from = replayedTo + 1n > found.from ? replayedTo + 1n : found.from;
      if (from > last) return;
      replayedTo = last;
      const maxCount = Number(last - from + 1n);
      const pages = await readStream(sources.sql, sources.cache, {
        stream,
        from,
        backwards: false,
        maxCount,
      });
      if (typeof pages === 'string') return;
      for await (const page of pages) yield await messagesOf(page);
    },
    finished,
  };
};
