/**
 * Gives back the space of events that nobody can read any more, beside a running store or without one.
 * Called by `muster eventstore scavenge`.
 *
 * One statement removes a batch and records it, so an end at any moment leaves a log that verifies, and the next
 * scavenge goes on with what is left. Nothing that stays is touched: no position, no revision, no byte.
 */
import { MusterError } from '../../platform/errors.ts';
import type { Sql } from '../../platform/sql.ts';
import { originalOf, ticksPerMs, tombstoneRevision } from './event.ts';
import { expectLayout, expectLog, tryLock } from './log-table.ts';
import {
  batchesOf,
  boundOf,
  type Extent,
  type Limits,
  limitsOf,
  type Range,
  type Reason,
  rangesOf,
  reasons,
} from './scavenge-plan.ts';
import { scavengedChannel, scavengeLock, writerLock } from './schema.ts';
import { readPairs } from './stream-cache.ts';

/** What was removed, or would be. `sizeBytes` is what the events took in the table, roughly. */
export interface Scavenged {
  /** Nothing above was looked at: the end of the log when the scavenge began. */
  readonly upTo: bigint;
  readonly streams: number;
  readonly events: number;
  readonly sizeBytes: number;
  readonly byReason: Readonly<Record<Reason, number>>;
  /** Size of the tables and their indexes on disk, before and after. */
  readonly diskBytes: { readonly before: number; readonly after: number };
}

/** `dryRun` only counts. `compact` rewrites the tables afterwards, which needs the store to be stopped. */
export interface ScavengeOptions {
  readonly dryRun?: boolean;
  readonly compact?: boolean;
}

/** How far it has come: streams looked at, of how many, and events removed. */
export type ScavengeProgress = (streams: number, ofStreams: number, events: number) => void;

const streamsPerPage = 500;
/** A batch is a transaction: short enough that an append beside it waits for some milliseconds at most. */
const eventsPerBatch = 1_000;
/** Tries at the lock, a second apart: the server needs that long to notice that a killed scavenger is gone. */
const lockTries = 3;
/** What a row and its index entries take beside its texts. */
const rowBytes = 90;

interface Page {
  readonly ranges: Range[];
  readonly lastId: bigint;
  readonly streams: number;
}

interface Point {
  readonly position: bigint;
  readonly streamId: bigint;
  /** In ticks. */
  readonly now: bigint;
}

/**
 * The moment that the whole scavenge speaks of. Of two clocks the slower one decides what has expired: a scavenger on
 * another machine must not take what readers still see.
 */
const pointOf = async (sql: Sql): Promise<Point> => {
  const [row] = await sql<{ position: bigint | null; stream_id: bigint | null; now_ms: bigint }[]>`
    select (select max(position) from event_store.events) as position,
      (select max(id) from event_store.streams) as stream_id,
      floor(extract(epoch from clock_timestamp()) * 1000)::bigint as now_ms`;
  const own = BigInt(Date.now());
  const theirs = row?.now_ms ?? own;
  return {
    position: row?.position ?? 0n,
    streamId: row?.stream_id ?? 0n,
    now: (own < theirs ? own : theirs) * ticksPerMs,
  };
};

const int8s = (sql: Sql, values: readonly (bigint | number)[]) => sql.array(values.map(String), 1016);

const readExtents = async (
  sql: Sql,
  limits: readonly Limits[],
  point: Point,
): Promise<Map<bigint, Extent>> => {
  const rows = await sql<{ stream: bigint; first: bigint; last: bigint; fresh: bigint | null }[]>`
    select t.stream, f.revision as first, l.revision as last, a.revision as fresh
    from unnest(
      ${int8s(
        sql,
        limits.map((one) => one.stream),
      )}::bigint[],
      ${int8s(sql, limits.map(boundOf))}::bigint[],
      ${int8s(
        sql,
        limits.map((one) => one.createdBefore),
      )}::bigint[]
    ) t(stream, bound, created_before)
    cross join lateral (
      select revision from event_store.events e where e.stream = t.stream order by revision limit 1) f
    cross join lateral (
      select revision from event_store.events e
      where e.stream = t.stream and e.revision < ${tombstoneRevision.toString()} and e.position <= ${point.position.toString()}
      order by revision desc limit 1) l
    left join lateral (
      select revision from event_store.events e
      where t.created_before > 0 and e.stream = t.stream and e.revision >= t.bound and e.created >= t.created_before
      order by revision limit 1) a on true`;
  return new Map(
    rows.map(({ stream, first, last, fresh }) => [stream, { first, last, fresh: fresh ?? undefined }]),
  );
};

/** What goes of the streams with the next numbers after `afterId`. */
const planPage = async (sql: Sql, afterId: bigint, point: Point): Promise<Page | undefined> => {
  const streams = await sql<{ id: bigint; name: string }[]>`
    select id, name from event_store.streams
    where id > ${afterId.toString()} and id <= ${point.streamId.toString()} order by id limit ${streamsPerPage}`;
  const last = streams.at(-1);
  if (!last) return undefined;
  const pairs = await readPairs(sql, [...new Set(streams.map(({ name }) => originalOf(name)))]);
  const limits = streams.flatMap(({ name }) => {
    const pair = pairs.get(originalOf(name));
    return (pair && limitsOf(name, pair, point.now)) ?? [];
  });
  const extents = await readExtents(sql, limits, point);
  const ranges = limits.flatMap((one) => {
    const extent = extents.get(BigInt(one.stream));
    return extent ? rangesOf(one, extent) : [];
  });
  return { ranges, lastId: last.id, streams: streams.length };
};

interface Removed {
  readonly reason: Reason;
  readonly events: number;
  readonly bytes: number;
}

const rangesAs = (sql: Sql, ranges: readonly Range[]) => sql`
  unnest(
    ${int8s(
      sql,
      ranges.map((one) => one.stream),
    )}::bigint[],
    ${int8s(
      sql,
      ranges.map((one) => one.from),
    )}::bigint[],
    ${int8s(
      sql,
      ranges.map((one) => one.until),
    )}::bigint[],
    ${sql.array(
      ranges.map((one) => one.reason),
      1009,
    )}::text[]
  ) r(stream, first, until, reason)`;

const within = (sql: Sql) => sql`e.stream = r.stream and e.revision >= r.first and e.revision < r.until`;
const bytesOf = (sql: Sql) =>
  sql`${rowBytes}::integer + pg_column_size(e.data) + pg_column_size(e.metadata) + pg_column_size(e.type)`;

const count = (sql: Sql, ranges: readonly Range[]): Promise<Removed[]> => sql<Removed[]>`
  select r.reason, count(*)::integer as events, sum(${bytesOf(sql)})::float as bytes
  from ${rangesAs(sql, ranges)} join event_store.events e on ${within(sql)} group by r.reason`;

const remove = (sql: Sql, ranges: readonly Range[]): Promise<Removed[]> => sql<Removed[]>`
  with gone as (
    delete from event_store.events e using ${rangesAs(sql, ranges)} where ${within(sql)}
    returning e.stream, e.revision, r.reason, ${bytesOf(sql)} as bytes
  ), noted as (
    insert into event_store.scavenged as s (stream, first, events)
    select stream, max(revision) + 1, count(*) from gone group by stream
    on conflict (stream) do update
      set first = greatest(s.first, excluded.first), events = s.events + excluded.events
  )
  select reason, count(*)::integer as events, sum(bytes)::float as bytes from gone group by reason`;

const diskBytes = async (sql: Sql): Promise<number> => {
  const [row] = await sql<{ bytes: string }[]>`
    select sum(pg_total_relation_size(to_regclass('event_store.' || name)))::text as bytes
    from unnest(array['events', 'streams', 'scavenged']) name`;
  return Number(row?.bytes ?? 0);
};

/** Every query below looks up short ranges of an index; statistics from before a mass removal must not mislead. */
const prepareSession = async (sql: Sql): Promise<void> => {
  await sql`set enable_seqscan = off`;
  await sql`set enable_hashjoin = off`;
  await sql`set enable_mergejoin = off`;
  // A batch lost in a power cut is lost as a whole, and removed again by the next scavenge.
  await sql`set synchronous_commit = off`;
  // As considerate as autovacuum is: the store next door has appends to put on the same disk.
  await sql`set vacuum_cost_delay = '2ms'`;
  await sql`set vacuum_cost_limit = 1000`;
  // Ends what a killed scavenger was doing; not every platform can tell that a client is gone.
  await sql`set client_connection_check_interval = '500ms'`.catch(() => {});
};

const takeScavengeLock = async (sql: Sql): Promise<void> => {
  for (let attempt = 1; !(await tryLock(sql, scavengeLock)); attempt += 1) {
    if (attempt >= lockTries) {
      throw new MusterError('scavenge-running', 'Another scavenge of this log has not ended yet.');
    }
    await sql`select pg_sleep(1)`;
  }
};

const takeWriterLock = async (sql: Sql): Promise<void> => {
  if (await tryLock(sql, writerLock)) return;
  throw new MusterError(
    'data-dir-in-use',
    'A server has the log open, and --compact rewrites its tables. Stop the server first, or scavenge without --compact.',
  );
};

/** Writes the tables anew, in the order of the log: the space of everything removed goes back to the disk. */
const rewrite = async (sql: Sql): Promise<void> => {
  await sql`reset enable_seqscan`;
  await sql.unsafe('cluster event_store.events using events_pkey');
  await sql.unsafe('vacuum (full, analyze) event_store.scavenged');
  await sql.unsafe('vacuum (analyze) event_store.events');
};

const walk = async (
  sql: Sql,
  point: Point,
  work: (sql: Sql, ranges: readonly Range[]) => Promise<Removed[]>,
  progress: ScavengeProgress,
): Promise<Omit<Scavenged, 'diskBytes' | 'upTo'>> => {
  const byReason = Object.fromEntries(reasons.map((reason) => [reason, 0])) as Record<Reason, number>;
  let streams = 0;
  let events = 0;
  let sizeBytes = 0;
  let seen = 0;
  for (let afterId = 0n; ; ) {
    const page = await planPage(sql, afterId, point);
    if (!page) return { streams, events, sizeBytes, byReason };
    for (const batch of batchesOf(page.ranges, eventsPerBatch)) {
      for (const removed of await work(sql, batch)) {
        byReason[removed.reason] += removed.events;
        events += removed.events;
        sizeBytes += removed.bytes;
      }
      progress(seen, Number(point.streamId), events);
    }
    streams += new Set(page.ranges.map((range) => range.stream)).size;
    seen += page.streams;
    afterId = page.lastId;
    progress(seen, Number(point.streamId), events);
  }
};

const removeAll = async (sql: Sql, compact: boolean, progress: ScavengeProgress): Promise<Scavenged> => {
  const before = await diskBytes(sql);
  const point = await pointOf(sql);
  const removed = await walk(sql, point, remove, progress);
  await sql`select pg_notify(${scavengedChannel}, ${point.position.toString()})`;
  // Without truncation, which would lock the table: the space is for new events.
  if (compact) await rewrite(sql);
  else await sql.unsafe('vacuum (truncate off, index_cleanup on, analyze) event_store.events');
  return { upTo: point.position, ...removed, diskBytes: { before, after: await diskBytes(sql) } };
};

/**
 * Scavenges the log of `sql`, a pool of one connection. Throws `config-invalid` where there is no log or one of
 * another version's layout, `scavenge-running` while another scavenge works, `data-dir-in-use` when it shall compact
 * and a store is running.
 */
export const scavengeLog = async (
  sql: Sql,
  options: ScavengeOptions = {},
  progress: ScavengeProgress = () => {},
): Promise<Scavenged> => {
  await expectLog(sql);
  await prepareSession(sql);
  if (options.dryRun) {
    const point = await pointOf(sql);
    const bytes = await diskBytes(sql);
    const counted = await walk(sql, point, count, progress);
    return { upTo: point.position, ...counted, diskBytes: { before: bytes, after: bytes } };
  }
  await takeScavengeLock(sql);
  try {
    await expectLayout(sql);
    if (options.compact) await takeWriterLock(sql);
    return await removeAll(sql, options.compact === true, progress);
  } finally {
    await sql`select pg_advisory_unlock_all()`.catch(() => {});
  }
};
