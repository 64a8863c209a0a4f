/**
 * Catch-up subscriptions: everything after a point, then whatever comes, at the subscriber's own pace.
 * Called by the gRPC read handler. Each subscription pulls; nothing is buffered for a slow one.
 */
import type { Sql } from '../../platform/sql.ts';
import type { StoredEvent } from './event.ts';
import { hiddenFromAll, tombstoneRevision } from './event.ts';
import type { Filter } from './filter.ts';
import { nextPageSize, pageForwards, streamForwards } from './pages.ts';
import { rangeOf } from './reader.ts';
import type { Recent } from './recent.ts';
import type { StreamCache } from './stream-cache.ts';

/** What the subscriber is told. Each call may return a promise to wait for before the next (backpressure). */
export interface Subscriber {
  readonly signal: AbortSignal;
  events(events: readonly StoredEvent[]): Promise<void>;
  checkpoint(position: bigint): Promise<void>;
  caughtUp(): Promise<void>;
}

/** The parts a subscription reads from. */
export interface Sources {
  readonly sql: Sql;
  readonly cache: StreamCache;
  readonly recent: Recent;
}

const liveBatch = 256;

/** Which events pass, and after how many considered ones a checkpoint is due. */
export interface FilterPlan {
  readonly matches: Filter;
  readonly checkpointInterval: number;
}

/** Sends matching events of `page` in order, with the checkpoints that fall due between them. */
const sendFiltered = async (
  page: readonly StoredEvent[],
  filter: FilterPlan,
  to: Subscriber,
  considered: number,
): Promise<number> => {
  let count = considered;
  let matching: StoredEvent[] = [];
  for (const event of page) {
    if (filter.matches(event)) matching.push(event);
    count += 1;
    if (count < filter.checkpointInterval) continue;
    count = 0;
    await to.events(matching);
    matching = [];
    await to.checkpoint(event.position);
  }
  if (matching.length > 0) await to.events(matching);
  return count;
};

/** Follows the log after position `after` until the subscriber's signal aborts. Rejects when SQL fails. */
export const followAll = async (
  sources: Sources,
  after: bigint,
  filter: FilterPlan | undefined,
  to: Subscriber,
): Promise<void> => {
  const { sql, recent } = sources;
  let cursor = after;
  let considered = 0;
  let isCaughtUp = false;
  let size = 128;
  while (!to.signal.aborted) {
    const recentPage = recent.after(cursor, liveBatch);
    const end = recent.last();
    const page = recentPage ?? (await pageForwards(sql, cursor + 1n, size));
    if (!recentPage) size = nextPageSize(size, page);
    if (page.length === 0 && !recentPage && end > cursor) {
      // Only hidden events were left up to the end as it was: step over them, or the wait below would not wait.
      cursor = end;
      continue;
    }
    if (page.length === 0) {
      if (!isCaughtUp) {
        isCaughtUp = true;
        if (filter && considered > 0) await to.checkpoint(cursor);
        considered = 0;
        await to.caughtUp();
      }
      await recent.wait(cursor, to.signal);
      continue;
    }
    const visible = recentPage ? page.filter((event) => !event.stream.startsWith(hiddenFromAll)) : page;
    if (filter) considered = await sendFiltered(visible, filter, to, considered);
    else if (visible.length > 0) await to.events(visible);
    cursor = (page.at(-1) as StoredEvent).position;
  }
};

/** How following a stream ended: the subscriber left, or the stream was tombstoned. */
export type StreamEnd = 'left' | 'deleted';

/** Sends what SQL holds of the stream after revision `after`; returns the last revision sent, or `deleted`. */
const catchUp = async (
  sources: Sources,
  stream: string,
  after: bigint,
  to: Subscriber,
): Promise<bigint | 'deleted'> => {
  let cursor = after;
  let size = 128;
  while (!to.signal.aborted) {
    const range = rangeOf(stream, await sources.cache.committed(stream));
    if (range === 'deleted') return 'deleted';
    if (range === 'not-found') return cursor;
    const from = cursor + 1n > range.from ? cursor + 1n : range.from;
    const page = await streamForwards(sources.sql, { ...range, from, to: tombstoneRevision - 1n }, size);
    if (page.length === 0) return cursor;
    await to.events(page);
    cursor = (page.at(-1) as StoredEvent).revision;
    size = nextPageSize(size, page);
  }
  return cursor;
};

/** Follows `stream` after revision `after` (-1n: from its start). Rejects when SQL fails. */
export const followStream = async (
  sources: Sources,
  stream: string,
  after: bigint | 'end',
  to: Subscriber,
): Promise<StreamEnd> => {
  const { recent, cache } = sources;
  let isCaughtUp = false;
  let cursor = after === 'end' ? -1n : after;
  if (after === 'end') {
    const range = rangeOf(stream, await cache.committed(stream));
    if (range === 'deleted') return 'deleted';
    if (range !== 'not-found') cursor = range.to;
  }
  let seen: bigint | undefined;
  while (!to.signal.aborted) {
    const live = seen === undefined ? undefined : recent.after(seen, Number.MAX_SAFE_INTEGER);
    if (!live) {
      // Taken before the catch-up, so that nothing committed during it is missed; what it has sent is skipped below.
      seen = recent.last();
      const end = await catchUp(sources, stream, cursor, to);
      if (end === 'deleted') return 'deleted';
      cursor = end;
      if (!isCaughtUp) await to.caughtUp();
      isCaughtUp = true;
      continue;
    }
    const fresh = live.filter((event) => event.stream === stream && event.revision > cursor);
    seen = live.at(-1)?.position ?? seen;
    if (fresh.length > 0) {
      await to.events(fresh);
      cursor = (fresh.at(-1) as StoredEvent).revision;
      if (cursor === tombstoneRevision) return 'deleted';
      continue;
    }
    await recent.wait(seen as bigint, to.signal, stream);
  }
  return 'left';
};
