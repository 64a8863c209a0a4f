/**
 * Parked events: those a group gave up on, as links in a stream of their own, until somebody replays them.
 * Called by group.ts. A replayed event leaves the parked stream only when it is finished: a crash keeps it there.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from '../../../platform/log.ts';
import { metastreamOf, type StoredEvent } from '../event.ts';
import { resolveLinks } from '../links.ts';
import { rangeOf, readStream } from '../reader.ts';
import type { Sources } from '../subscriptions.ts';
import type { WriteOutcome, Writer } from '../writer.ts';
import { type Message, openMessage } from './message.ts';

/** The parked events of one group. */
export interface Parked {
  /** Adds a link to the event, for as long as it takes; false when the group closed before that was possible. */
  park(message: Message, reason: string): Promise<boolean>;
  /** How many there are. */
  count(): Promise<bigint>;
  /**
   * Gives the parked events to `deliver`, page by page at its pace, from the first that is not being replayed yet up to
   * revision `stopAt` (exclusive). Resolves when that has begun.
   */
  replay(stopAt: bigint | undefined, deliver: (messages: Message[]) => Promise<void>): Promise<void>;
  /** A replayed event is finished; removes it once all before it are too. */
  finished(revision: bigint): void;
}

/** How soon parking is tried again while the store cannot write. */
const parkAgainMs = 500;

/** A link to the event itself: what led to it may go. */
const linkTo = ({ resolved, source }: Message, reason: string) => ({
  id: randomUUID(),
  type: '$>',
  json: false,
  data: resolved.event
    ? Buffer.from(`${resolved.event.revision}@${resolved.event.stream}`)
    : Buffer.from(source.data),
  metadata: Buffer.from(
    JSON.stringify({
      added: new Date().toISOString(),
      reason,
      subscriptionEventNumber: Number(source.revision),
    }),
  ),
});

/** The parked events in `stream`, until `closing` aborts. */
export const openParked = (
  parts: { sources: Sources; writer: Writer; log: Logger },
  stream: string,
  closing: AbortSignal,
): Parked => {
  const { sources, writer, log } = parts;
  /** Replayed and not finished yet, in order. */
  const unfinished = new Set<bigint>();
  let replayedTo = -1n;
  let replaying: Promise<void> = Promise.resolve();
  let isTruncating = false;
  let truncatedTo = 0n;

  const range = async () => rangeOf(stream, await sources.cache.committed(stream));

  const truncateBefore = (revision: bigint): Promise<WriteOutcome> => {
    const data = Buffer.from(`{"$tb":${revision}}`);
    const events = [{ id: randomUUID(), type: '$metadata', json: true, data, metadata: new Uint8Array() }];
    return writer.submit({ kind: 'append', stream: metastreamOf(stream), expected: 'any', events });
  };

  const truncate = async (): Promise<void> => {
    if (isTruncating) return;
    isTruncating = true;
    for (;;) {
      const first = unfinished.values().next().value ?? replayedTo + 1n;
      if (first <= truncatedTo || !(await truncateBefore(first)).done) break;
      truncatedTo = first;
    }
    isTruncating = false;
  };

  const finished = (revision: bigint): void => {
    unfinished.delete(revision);
    void truncate();
  };

  const messagesOf = async (links: readonly StoredEvent[]): Promise<Message[]> => {
    const resolved = await resolveLinks(sources.sql, sources.cache, links);
    for (const { revision } of links) unfinished.add(revision);
    replayedTo = links.at(-1)?.revision ?? replayedTo;
    // Where the event itself is gone meanwhile, there is nothing left to process.
    resolved.forEach(({ event }, at) => {
      if (!event) finished((links[at] as StoredEvent).revision);
    });
    return resolved.flatMap((one, at) =>
      one.event ? [openMessage(one, (links[at] as StoredEvent).revision)] : [],
    );
  };

  const replayTo = async (last: bigint, deliver: (messages: Message[]) => Promise<void>): Promise<void> => {
    if (last <= replayedTo || closing.aborted) return;
    const read = {
      stream,
      from: replayedTo + 1n,
      backwards: false,
      maxCount: Number.MAX_SAFE_INTEGER,
    } as const;
    const pages = await readStream(sources.sql, sources.cache, read);
    if (typeof pages === 'string') return;
    for await (const page of pages) {
      const links = page.filter(({ revision }) => revision <= last);
      const messages = await messagesOf(links);
      if (closing.aborted) return;
      await deliver(messages);
      if (links.length < page.length || closing.aborted) return;
    }
  };

  return {
    park: async (message, reason) => {
      const events = [linkTo(message, reason)];
      while (!closing.aborted) {
        const outcome = await writer.submit({ kind: 'append', stream, expected: 'any', events });
        if (outcome.done) return true;
        log.warn({ stream, because: outcome.because }, 'an event could not be parked yet');
        await delay(parkAgainMs, undefined, { signal: closing, ref: false }).catch(() => {});
      }
      return false;
    },
    count: async () => {
      const found = await range();
      return typeof found === 'string' ? 0n : found.to - found.from + 1n;
    },
    replay: async (stopAt, deliver) => {
      const found = await range();
      if (typeof found === 'string') return;
      const last = stopAt === undefined || stopAt > found.to ? found.to : stopAt - 1n;
      replaying = replaying
        .then(() => replayTo(last, deliver))
        .catch((error: Error) => log.warn({ err: error, stream }, 'a replay of parked events was cut short'));
    },
    finished,
  };
};
