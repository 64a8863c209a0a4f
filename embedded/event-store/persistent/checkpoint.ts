/**
 * How far a group has come: the place before its first unfinished event, kept in the group's checkpoint stream.
 * Called by group.ts.
 */
import { randomUUID } from 'node:crypto';
import { metastreamOf } from '../event.ts';
import { readStream } from '../reader.ts';
import type { Sources } from '../subscriptions.ts';
import type { Writer } from '../writer.ts';
import type { Settings } from './definition.ts';

/**
 * Follows what was fetched and what is finished. Places are revisions, or positions of $all, in the order of the
 * source; `-1n` is before the first.
 */
export interface Progress {
  /** An event was fetched; `before` is the place of the one fetched before it. */
  fetched(place: bigint): void;
  /** Nothing for the group up to `place`, which a filter has let pass by. */
  passed(place: bigint): void;
  finished(place: bigint): void;
  /** The place after which everything has to be delivered again after a crash. */
  checkpoint(): bigint;
  /** Events finished and not yet covered by a written checkpoint. */
  finishedSince(): number;
  /** A checkpoint that covers the first `finished` of them was written. */
  written(finished: number): void;
  lastFetched(): bigint;
}

/** Progress that begins behind `start`. */
export const openProgress = (start: bigint): Progress => {
  /** Unfinished places in order, each with the place before it. Bounded by the group's buffers and windows. */
  const unfinished = new Map<bigint, bigint>();
  let last = start;
  let finishedCount = 0;
  return {
    fetched: (place) => {
      unfinished.set(place, last);
      last = place;
    },
    passed: (place) => {
      if (place > last) last = place;
    },
    finished: (place) => {
      if (unfinished.delete(place)) finishedCount += 1;
    },
    checkpoint: () => {
      for (const before of unfinished.values()) return before;
      return last;
    },
    finishedSince: () => finishedCount,
    written: (finished) => {
      finishedCount -= finished;
    },
    lastFetched: () => last,
  };
};

/** Whether a checkpoint is due (PersistentSubscription.TryMarkCheckpoint): enough events, or enough of them and time. */
export const isDue = (settings: Settings, finished: number, elapsedMs: number): boolean =>
  finished > 0 &&
  (finished >= settings.maxCheckpointCount ||
    (finished >= settings.minCheckpointCount && elapsedMs >= settings.checkpointAfterMs));

const checkpointType = '$SubscriptionCheckpoint';

/** The stored checkpoint; `undefined` when there is none. */
export const readCheckpoint = async (
  { sql, cache }: Sources,
  stream: string,
): Promise<bigint | undefined> => {
  const pages = await readStream(sql, cache, { stream, from: 'end', backwards: true, maxCount: 1 });
  if (typeof pages === 'string') return undefined;
  for await (const [event] of pages) {
    if (event) return BigInt(JSON.parse(Buffer.from(event.data).toString('utf8')) as string);
  }
  return undefined;
};

const jsonEvent = (type: string, data: unknown) => ({
  id: randomUUID(),
  type,
  json: true,
  data: Buffer.from(JSON.stringify(data)),
  metadata: new Uint8Array(),
});

/**
 * Makes a stream begin anew behind `after` and keep its newest events only, which is all that is ever read of it.
 * False when the store could not write.
 */
export const beginAnew = async (
  writer: Writer,
  stream: string,
  after: bigint,
  maxCount: number,
): Promise<boolean> => {
  const events = [jsonEvent('$metadata', { $maxCount: maxCount, $tb: Number(after + 1n) })];
  const outcome = await writer.submit({
    kind: 'append',
    stream: metastreamOf(stream),
    expected: 'any',
    events,
  });
  return outcome.done;
};

/** Stores a checkpoint; false when the store could not write, which only means a later one has to do. */
export const writeCheckpoint = async (writer: Writer, stream: string, place: bigint): Promise<boolean> => {
  const events = [jsonEvent(checkpointType, place.toString())];
  const outcome = await writer.submit({ kind: 'append', stream, expected: 'any', events });
  return outcome.done;
};
