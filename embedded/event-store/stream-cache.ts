/**
 * Heads and metadata of recently used streams, in memory; the rest is read from SQL, many streams a query.
 * The writer decides on `next` (accepted, perhaps not yet durable); readers see `now` (committed).
 */
import type { Sql } from '../../platform/sql.ts';
import { metastreamOf, originalOf } from './event.ts';
import { readSettings, type StreamSettings } from './settings.ts';

/** End of one stream. `id` is its interned number, 0 while it has none; `revision` its last one, -1n when empty. */
export interface Head {
  readonly id: number;
  readonly revision: bigint;
}

/** A stream together with its metastream: what is decided about one depends on the other. */
export interface Pair {
  readonly stream: Head;
  readonly meta: Head;
  readonly rawMeta: Uint8Array | undefined;
  readonly settings: StreamSettings;
}

/** A cached pair. `pending` counts accepted items that are not yet durable; such an entry is never evicted. */
export interface Entry {
  now: Pair;
  next: Pair;
  pending: number;
}

/** The cache. Keys are original stream names; a metastream shares the entry of its original. */
export interface StreamCache {
  /** Runs `use` once the entry is in memory; uses of one stream run in the order of the calls. */
  use(stream: string, use: (entry: Entry) => void, failed: (error: Error) => void): void;
  /** Holds later uses of the stream back while `work` runs, then lets them go in order. */
  hold(stream: string, work: Promise<void>): void;
  /** The committed state of a stream. */
  committed(stream: string): Promise<Pair>;
  /** Committed states of many streams, in the order of the names. */
  committedMany(streams: readonly string[]): Promise<Pair[]>;
  /** Forgets everything, after writes in memory turned out not to be durable. */
  clear(): void;
}

/** What uses that were waiting are told by `clear`. */
export const startedOver = new Error('the event store is starting over from disk');

interface Waiter {
  use(entry: Entry): void;
  failed(error: Error): void;
}

interface Slot {
  entry: Entry | undefined;
  busy: boolean;
  readonly waiting: Waiter[];
}

interface HeadRow {
  name: string;
  id: bigint | null;
  revision: bigint | null;
  meta_id: bigint | null;
  meta_revision: bigint | null;
  meta_data: Uint8Array | null;
}

const maxNamesPerQuery = 500;

const toPair = (row: HeadRow): Pair => {
  const rawMeta = row.meta_data ?? undefined;
  return {
    stream: { id: Number(row.id ?? 0n), revision: row.revision ?? -1n },
    meta: { id: Number(row.meta_id ?? 0n), revision: row.meta_revision ?? -1n },
    rawMeta,
    settings: readSettings(rawMeta),
  };
};

/** The committed states of original streams, by name. */
export const readPairs = async (sql: Sql, keys: readonly string[]): Promise<Map<string, Pair>> => {
  const rows = await sql<HeadRow[]>`
    select n.name, s.id, h.revision, m.id as meta_id, mh.revision as meta_revision, mh.data as meta_data
    from unnest(${sql.array([...keys], 1009)}::text[], ${sql.array(keys.map(metastreamOf), 1009)}::text[]) n(name, meta_name)
    left join event_store.streams s on s.name = n.name
    left join event_store.streams m on m.name = n.meta_name
    left join lateral (select revision from event_store.events e where e.stream = s.id order by revision desc limit 1) h on true
    left join lateral (select revision, data from event_store.events e where e.stream = m.id order by revision desc limit 1) mh on true`;
  return new Map(rows.map((row) => [row.name, toPair(row)]));
};

/** A cache of at most about `capacity` streams over `sql`. */
export const openStreamCache = (sql: Sql, capacity: number): StreamCache => {
  let slots = new Map<string, Slot>();
  let wanted: string[] = [];

  const drain = (slot: Slot): void => {
    while (!slot.busy && slot.entry && slot.waiting.length > 0) slot.waiting.shift()?.use(slot.entry);
  };

  const load = async (keys: readonly string[], from: Map<string, Slot>): Promise<void> => {
    const settle = (finish: (slot: Slot, key: string) => void): void => {
      for (const key of keys) {
        const slot = from.get(key);
        if (slot) finish(slot, key);
      }
    };
    try {
      const pairs = await readPairs(sql, keys);
      settle((slot, key) => {
        const pair = pairs.get(key) as Pair;
        slot.entry = { now: pair, next: pair, pending: 0 };
        slot.busy = false;
        drain(slot);
      });
    } catch (error) {
      settle((slot, key) => {
        if (slots.get(key) === slot) slots.delete(key);
        for (const waiter of slot.waiting.splice(0)) waiter.failed(error as Error);
      });
    }
  };

  const loadWanted = (): void => {
    const keys = wanted;
    wanted = [];
    for (let at = 0; at < keys.length; at += maxNamesPerQuery)
      void load(keys.slice(at, at + maxNamesPerQuery), slots);
  };

  const evict = (): void => {
    let tries = slots.size - capacity;
    for (const [key, slot] of slots) {
      if (tries-- <= 0) return;
      if (!slot.busy && slot.waiting.length === 0 && slot.entry?.pending === 0) slots.delete(key);
      else touch(key, slot);
    }
  };

  const touch = (key: string, slot: Slot): void => {
    slots.delete(key);
    slots.set(key, slot);
  };

  const slotOf = (key: string): Slot => {
    const found = slots.get(key);
    if (found) return found;
    const slot: Slot = { entry: undefined, busy: true, waiting: [] };
    slots.set(key, slot);
    if (wanted.push(key) === 1) setImmediate(loadWanted);
    if (slots.size > capacity * 1.1) evict();
    return slot;
  };

  const use: StreamCache['use'] = (stream, run, failed) => {
    const key = originalOf(stream);
    const slot = slotOf(key);
    if (slot.entry && !slot.busy && slot.waiting.length === 0) run(slot.entry);
    else slot.waiting.push({ use: run, failed });
  };

  const committed: StreamCache['committed'] = (stream) =>
    new Promise((resolve, reject) => {
      use(stream, (entry) => resolve(entry.now), reject);
    });

  return {
    use,
    committed,
    committedMany: (streams) => Promise.all(streams.map(committed)),
    hold: (stream, work) => {
      const slot = slotOf(originalOf(stream));
      slot.busy = true;
      void work.finally(() => {
        slot.busy = false;
        drain(slot);
      });
    },
    clear: () => {
      const waiting = [...slots.values()].flatMap((slot) => slot.waiting.splice(0));
      slots = new Map();
      wanted = [];
      for (const waiter of waiting) waiter.failed(startedOver);
    },
  };
};
