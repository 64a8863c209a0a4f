/**
 * Resolves link events: type `$>`, data `<revision>@<stream>`.
 * Called by the read handlers when the client asks to resolve links.
 */
import type { Sql } from '../../platform/sql.ts';
import type { StoredEvent } from './event.ts';
import { rangeOf } from './reader.ts';
import type { Pair, StreamCache } from './stream-cache.ts';

/** Whether whoever reads may see events of `stream`, whose metadata `pair` holds. */
export type MayRead = (stream: string, pair: Pair) => boolean;

/**
 * What a client gets: the event, and the link that led to it. `event` is missing when the target is gone or withheld.
 */
export interface Resolved {
  readonly event: StoredEvent | undefined;
  readonly link: StoredEvent | undefined;
}

interface Target {
  readonly stream: string;
  readonly revision: bigint;
}

const targetOf = (link: StoredEvent): Target | undefined => {
  const match = /^(\d{1,19})@(.+)$/s.exec(Buffer.from(link.data).toString('utf8'));
  return match ? { revision: BigInt(match[1] as string), stream: match[2] as string } : undefined;
};

const keyOf = (target: Target): string => `${target.revision}@${target.stream}`;

const readTargets = async (sql: Sql, targets: readonly Target[]): Promise<Map<string, StoredEvent>> => {
  const rows = await sql<StoredEvent[]>`
    select e.position, s.name as stream, e.revision, e.created, e.id, e.json, e.type, e.data, e.metadata
    from unnest(${sql.array(
      targets.map((one) => one.stream),
      1009,
    )}::text[], ${sql.array(
      targets.map((one) => one.revision.toString()),
      1016,
    )}::bigint[]) t(stream, revision)
    join event_store.streams s on s.name = t.stream
    join event_store.events e on e.stream = s.id and e.revision = t.revision`;
  return new Map(rows.map((row) => [keyOf(row), row]));
};

/** Events as they are: what a read without link resolution sends. */
export const asTheyAre = (events: readonly StoredEvent[]): Resolved[] =>
  events.map((event) => ({ event, link: undefined }));

/** Resolves the links among `events`. Deleted, truncated and expired targets count as gone; so do forbidden ones. */
export const resolveLinks = async (
  sql: Sql,
  cache: StreamCache,
  events: readonly StoredEvent[],
  mayRead?: MayRead,
): Promise<Resolved[]> => {
  if (!events.some((event) => event.type === '$>')) return asTheyAre(events);
  const targets = events.flatMap((event) => (event.type === '$>' ? (targetOf(event) ?? []) : []));
  const found = await readTargets(sql, targets);
  const names = [...new Set(targets.map((target) => target.stream))];
  const pairs = await cache.committedMany(names);
  const ranges = new Map(
    names.map((name, index) => {
      const pair = pairs[index] as Pair;
      return [name, !mayRead || mayRead(name, pair) ? rangeOf(name, pair) : undefined];
    }),
  );
  return events.map((event) => {
    if (event.type !== '$>') return { event, link: undefined };
    const target = targetOf(event);
    const stored = target && found.get(keyOf(target));
    const range = stored && ranges.get(stored.stream);
    const isVisible =
      range !== undefined &&
      typeof range === 'object' &&
      stored !== undefined &&
      stored.revision >= range.from &&
      stored.created >= range.createdAfter;
    return { event: isVisible ? stored : undefined, link: event };
  });
};
