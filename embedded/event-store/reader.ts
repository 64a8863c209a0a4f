/**
 * Reads with a beginning and an end: of one stream, with its metadata applied, or of the whole log.
 * Called by the gRPC read handler and by subscriptions.ts.
 */
import type { Sql } from '../../platform/sql.ts';
import { isMetastream, type StoredEvent, ticksPerMs, ticksPerSecond, tombstoneRevision } from './event.ts';
import {
  pageBackwards,
  pageForwards,
  pagesOf,
  type StreamRange,
  streamBackwards,
  streamForwards,
} from './pages.ts';
import { isSoftDeleted, metastreamSettings, type StreamSettings } from './settings.ts';
import type { Pair, StreamCache } from './stream-cache.ts';

/** Why a stream has nothing to show. */
export type Absent = 'not-found' | 'deleted';

const lowest = (settings: StreamSettings, last: bigint): bigint => {
  const byCount = settings.maxCount === undefined ? 0n : last - settings.maxCount + 1n;
  const byTruncation = settings.truncateBefore ?? 0n;
  const from = byCount > byTruncation ? byCount : byTruncation;
  return from > 0n ? from : 0n;
};

/** What of a stream its metadata lets readers see, now. */
export const rangeOf = (name: string, pair: Pair): StreamRange | Absent => {
  const head = isMetastream(name) ? pair.meta : pair.stream;
  if (pair.stream.revision === tombstoneRevision) return 'deleted';
  const settings = isMetastream(name) ? metastreamSettings : pair.settings;
  if (head.revision < 0n || isSoftDeleted(settings)) return 'not-found';
  const { maxAgeSeconds } = settings;
  return {
    id: head.id,
    name,
    from: lowest(settings, head.revision),
    to: head.revision,
    createdAfter:
      maxAgeSeconds === undefined ? 0n : BigInt(Date.now()) * ticksPerMs - maxAgeSeconds * ticksPerSecond,
  };
};

/** Where a read begins, which way it goes, and how many events at most. Revisions are inclusive both ways. */
export interface StreamRead {
  readonly stream: string;
  readonly from: bigint | 'start' | 'end';
  readonly backwards: boolean;
  readonly maxCount: number;
}

/** Pages of a stream, or why there are none. */
export const readStream = async (
  sql: Sql,
  cache: StreamCache,
  read: StreamRead,
): Promise<AsyncGenerator<StoredEvent[]> | Absent> => {
  const range = rangeOf(read.stream, await cache.committed(read.stream));
  if (typeof range === 'string') return range;
  const start = read.from === 'start' ? 0n : read.from === 'end' ? range.to : read.from;
  if (read.backwards) {
    const to = start < range.to ? start : range.to;
    return pagesOf(
      (last, limit) => streamBackwards(sql, { ...range, to: last ? last.revision - 1n : to }, limit),
      read.maxCount,
    );
  }
  const past = read.from === 'end' ? range.to + 1n : start;
  const from = past > range.from ? past : range.from;
  return pagesOf(
    (last, limit) => streamForwards(sql, { ...range, from: last ? last.revision + 1n : from }, limit),
    read.maxCount,
  );
};

/** A read of the whole log: forwards from `from` inclusive, backwards from `from` exclusive. */
export interface AllRead {
  readonly from: bigint | 'start' | 'end';
  readonly backwards: boolean;
  readonly maxCount: number;
}

/** Pages of the log. */
export const readAll = (sql: Sql, read: AllRead): AsyncGenerator<StoredEvent[]> => {
  if (read.backwards) {
    const before = read.from === 'end' ? tombstoneRevision : read.from === 'start' ? 0n : read.from;
    return pagesOf((last, limit) => pageBackwards(sql, last?.position ?? before, limit), read.maxCount);
  }
  if (read.from === 'end') return pagesOf(async () => [], read.maxCount);
  const from = read.from === 'start' ? 0n : read.from;
  return pagesOf((last, limit) => pageForwards(sql, last ? last.position + 1n : from, limit), read.maxCount);
};
