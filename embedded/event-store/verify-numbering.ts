/**
 * Checks of the whole log's numbering against what scavenges have recorded: a gap is accepted only where one was made.
 * Called by verify.ts, after the events themselves.
 */
import type { Sql } from '../../platform/sql.ts';
import { tombstoneRevision } from './event.ts';

/** An event that does not follow the one before it. `gap` is the number of revisions missing in between. */
export interface Misnumbered {
  readonly position: bigint;
  readonly stream: bigint;
  readonly revision: bigint;
  readonly gap: bigint;
}

/** Logs of layout 1 have no record of scavenges, and need none. */
const recordOf = (sql: Sql, hasRecord: boolean) =>
  hasRecord
    ? sql`event_store.scavenged`
    : sql`(select null::bigint as stream, null::bigint as first, 0 as events where false)`;

/**
 * Events whose revision does not follow the one before it in the stream, or the last one scavenged, and events that lie
 * before that one in the log.
 */
export const readMisnumbered = (sql: Sql, hasRecord: boolean): Promise<Misnumbered[]> =>
  sql<Misnumbered[]>`
    select position, stream, revision,
      case when revision = ${tombstoneRevision.toString()} then 0 else greatest(revision - expected, 0) end as gap
    from (
      select e.position, e.stream, e.revision, lag(e.position) over each as position_before,
        coalesce(lag(e.revision) over each + 1, g.first, 0) as expected
      from event_store.events e left join ${recordOf(sql, hasRecord)} g on g.stream = e.stream
      window each as (partition by e.stream order by e.revision)
    ) numbered
    where revision <> expected and revision <> ${tombstoneRevision.toString()} or position <= position_before
    order by position`;

/**
 * How many events are neither there nor recorded as scavenged. Positions are dense, from 1 to the last one: the writer
 * gives one to each event under one lock, and takes back what did not become durable.
 */
export const countMissing = async (sql: Sql, hasRecord: boolean): Promise<bigint> => {
  const [row] = await sql<{ missing: bigint }[]>`
    select (coalesce(max(position), 0) - count(*)
      - (select coalesce(sum(events), 0) from ${recordOf(sql, hasRecord)} g))::bigint as missing
    from event_store.events`;
  return row?.missing ?? 0n;
};
