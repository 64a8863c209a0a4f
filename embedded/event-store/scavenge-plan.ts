/**
 * Which events of a stream nobody can read any more, by the same limits that reads apply. Pure.
 * Called by scavenge.ts. Follows EventStoreDB's scavenge (DiscardPoint, Calculator, ChunkExecutor): the last event of a
 * stream stays, for its number; a tombstoned stream keeps its tombstone and nothing of its metadata.
 */
import { isMetastream, ticksPerSecond, tombstoneRevision } from './event.ts';
import { isSoftDeleted } from './settings.ts';
import type { Pair } from './stream-cache.ts';

/** Why an event may go: its stream is gone for good, or deleted; newer metadata; `$tb`, `$maxCount`, `$maxAge`. */
export const reasons = ['tombstoned', 'deleted', 'superseded', 'truncated', 'over count', 'expired'] as const;

/** One of them. */
export type Reason = (typeof reasons)[number];

/** What a stream's limits allow to go, before anything is known of the events that are left of it. */
export interface Limits {
  /** Interned number of the stream. */
  readonly stream: number;
  /** Revisions below may go, for the reason beside. In order. */
  readonly below: readonly (readonly [Reason, bigint])[];
  /** Events created before may go too; in ticks, 0n when there is no such limit. */
  readonly createdBefore: bigint;
  /** Whether even the last event may go. */
  readonly withLast: boolean;
}

/** What is left of the stream. `fresh` is the first revision that is young enough, if any is. */
export interface Extent {
  readonly first: bigint;
  readonly last: bigint;
  readonly fresh: bigint | undefined;
}

/** Revisions of a stream that may go: `from` inclusive, `until` exclusive. */
export interface Range {
  readonly stream: number;
  readonly from: bigint;
  readonly until: bigint;
  readonly reason: Reason;
}

const onlyBelow = (stream: number, reason: Reason, bound: bigint): Limits => ({
  stream,
  below: [[reason, bound]],
  createdBefore: 0n,
  withLast: reason === 'tombstoned',
});

/** The limits of stream `name` at `now` (ticks); `undefined` when it has none. */
export const limitsOf = (name: string, pair: Pair, now: bigint): Limits | undefined => {
  const head = isMetastream(name) ? pair.meta : pair.stream;
  if (pair.stream.revision === tombstoneRevision) return onlyBelow(head.id, 'tombstoned', tombstoneRevision);
  if (head.revision <= 0n) return undefined;
  if (isMetastream(name)) return onlyBelow(head.id, 'superseded', head.revision);
  if (isSoftDeleted(pair.settings)) return onlyBelow(head.id, 'deleted', head.revision);
  const { truncateBefore, maxCount, maxAgeSeconds } = pair.settings;
  const below: [Reason, bigint][] = [];
  if (truncateBefore !== undefined) below.push(['truncated', truncateBefore]);
  if (maxCount !== undefined) below.push(['over count', head.revision - maxCount + 1n]);
  const createdBefore = maxAgeSeconds === undefined ? 0n : now - maxAgeSeconds * ticksPerSecond;
  if (below.length === 0 && createdBefore === 0n) return undefined;
  return { stream: head.id, below, createdBefore, withLast: false };
};

/** The revision below which `limits` without their age let everything go. */
export const boundOf = ({ below }: Limits): bigint => {
  let highest = 0n;
  for (const [, bound] of below) if (bound > highest) highest = bound;
  return highest;
};

/** What of the stream goes, in order, each range for the first reason that applies. */
export const rangesOf = (limits: Limits, extent: Extent): Range[] => {
  const end = limits.withLast ? extent.last + 1n : extent.last;
  const aged: (readonly [Reason, bigint])[] =
    limits.createdBefore === 0n ? [] : [['expired', extent.fresh ?? end]];
  const ranges: Range[] = [];
  let from = extent.first;
  for (const [reason, bound] of [...limits.below, ...aged]) {
    const until = bound < end ? bound : end;
    if (until <= from) continue;
    ranges.push({ stream: limits.stream, from, until, reason });
    from = until;
  }
  return ranges;
};

/** Cuts ranges into batches of at most `size` events, in order. */
export function* batchesOf(ranges: readonly Range[], size: number): Generator<Range[]> {
  let batch: Range[] = [];
  let room = BigInt(size);
  for (const range of ranges) {
    for (let from = range.from; from < range.until; ) {
      const until = range.until - from > room ? from + room : range.until;
      batch.push({ ...range, from, until });
      room -= until - from;
      from = until;
      if (room > 0n) continue;
      yield batch;
      batch = [];
      room = BigInt(size);
    }
  }
  if (batch.length > 0) yield batch;
}
