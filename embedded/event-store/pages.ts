/**
 * Pages of stored events, straight from SQL, in either direction.
 * Called by reader.ts and subscriptions.ts. Sizes adapt so that a page of large events does not fill the memory.
 */
import type { Sql } from '../../platform/sql.ts';
import { hiddenFromAll, type StoredEvent, sizeOf } from './event.ts';

/** Part of one stream. Revisions are inclusive; `createdAfter` is in ticks. */
export interface StreamRange {
  readonly id: number;
  readonly name: string;
  readonly from: bigint;
  readonly to: bigint;
  readonly createdAfter: bigint;
}

interface AllRow {
  position: bigint;
  stream: string;
  revision: bigint;
  created: bigint;
  id: string;
  json: boolean;
  type: string;
  data: Uint8Array;
  metadata: Uint8Array;
}

/** Events of $all at or after `from` (inclusive), oldest first. */
export const pageForwards = async (sql: Sql, from: bigint, limit: number): Promise<StoredEvent[]> =>
  sql<AllRow[]>`
    select e.position, s.name as stream, e.revision, e.created, e.id, e.json, e.type, e.data, e.metadata
    from event_store.events e join event_store.streams s on s.id = e.stream
    where e.position >= ${from.toString()} and not starts_with(s.name, ${hiddenFromAll}) order by e.position limit ${limit}`;

/** Events of $all before `before` (exclusive), newest first. */
export const pageBackwards = async (sql: Sql, before: bigint, limit: number): Promise<StoredEvent[]> =>
  sql<AllRow[]>`
    select e.position, s.name as stream, e.revision, e.created, e.id, e.json, e.type, e.data, e.metadata
    from event_store.events e join event_store.streams s on s.id = e.stream
    where e.position < ${before.toString()} and not starts_with(s.name, ${hiddenFromAll}) order by e.position desc limit ${limit}`;

/** Events of a stream, lowest revision first. */
export const streamForwards = async (sql: Sql, range: StreamRange, limit: number): Promise<StoredEvent[]> =>
  sql<AllRow[]>`
    select position, ${range.name}::text as stream, revision, created, id, json, type, data, metadata
    from event_store.events
    where stream = ${range.id} and revision between ${range.from.toString()} and ${range.to.toString()} and created >= ${range.createdAfter.toString()}
    order by revision limit ${limit}`;

/** Events of a stream, highest revision first. */
export const streamBackwards = async (sql: Sql, range: StreamRange, limit: number): Promise<StoredEvent[]> =>
  sql<AllRow[]>`
    select position, ${range.name}::text as stream, revision, created, id, json, type, data, metadata
    from event_store.events
    where stream = ${range.id} and revision between ${range.from.toString()} and ${range.to.toString()} and created >= ${range.createdAfter.toString()}
    order by revision desc limit ${limit}`;

const minPage = 16;
const firstPage = 128;
const maxPage = 1_024;
const fewBytes = 1024 * 1024;
const manyBytes = 4 * 1024 * 1024;

/** Size of the page after one of `events`: larger while events are small, smaller when they are large. */
export const nextPageSize = (size: number, events: readonly StoredEvent[]): number => {
  const bytes = events.reduce((sum, event) => sum + sizeOf(event), 0);
  if (bytes > manyBytes) return Math.max(minPage, size >> 1);
  return bytes < fewBytes ? Math.min(maxPage, size << 1) : size;
};

/**
 * Follows `fetch` page by page until it returns a short one or `wanted` events have come. The next page is fetched
 * while the caller is busy with the present one.
 */
export async function* pagesOf(
  fetch: (last: StoredEvent | undefined, limit: number) => Promise<StoredEvent[]>,
  wanted: number,
): AsyncGenerator<StoredEvent[]> {
  let size = Math.min(firstPage, wanted);
  let left = wanted;
  let page = await fetch(undefined, size);
  for (;;) {
    left -= page.length;
    const isEnd = page.length < size || left <= 0;
    const nextSize = Math.min(nextPageSize(size, page), left);
    const next = isEnd ? undefined : fetch(page.at(-1), nextSize);
    // Without a handler of its own, a page that fails while the caller is away would count as unhandled.
    next?.catch(() => {});
    if (page.length > 0) yield page;
    if (!next) return;
    size = nextSize;
    page = await next;
  }
}
