/**
 * When a group's progress is stored, and where: in a stream of its own, of which only the newest event counts.
 * Called by group.ts and registry.ts.
 */
import { randomUUID } from 'node:crypto';
import type { Logger } from '../../../platform/log.ts';
import { metastreamOf } from '../event.ts';
import { rangeOf } from '../reader.ts';
import type { Sources } from '../subscriptions.ts';
import type { Writer } from '../writer.ts';
import type { Settings } from './definition.ts';
import type { Progress } from './progress.ts';

const checkpointType = '$SubscriptionCheckpoint';

const placeIn = (data: Uint8Array): bigint | undefined => {
  try {
    return BigInt(JSON.parse(Buffer.from(data).toString('utf8')) as string);
  } catch {
    return undefined;
  }
};

/**
 * The checkpoints stored in `streams`, by stream; none where there is none. What cannot be read counts as none, which
 * delivers events again rather than leaving any out.
 */
export const readCheckpoints = async (
  { sql, cache }: Sources,
  streams: readonly string[],
  log: Logger,
): Promise<Map<string, bigint>> => {
  const found = new Map<string, bigint>();
  if (streams.length === 0) return found;
  const pairs = await cache.committedMany(streams);
  const ranges = new Map(
    streams.map((name, at) => [name, rangeOf(name, pairs[at] as (typeof pairs)[number])]),
  );
  const rows = await sql<{ name: string; revision: bigint; data: Uint8Array }[]>`
    select t.name, e.revision, e.data from unnest(${sql.array([...streams], 1009)}::text[]) t(name)
    join event_store.streams s on s.name = t.name
    cross join lateral (
      select revision, data from event_store.events where stream = s.id order by revision desc limit 1) e`;
  for (const { name, revision, data } of rows) {
    const range = ranges.get(name);
    if (typeof range !== 'object' || revision < range.from) continue;
    const place = placeIn(data);
    if (place === undefined) log.error({ stream: name }, 'a checkpoint cannot be read and is left out');
    else found.set(name, place);
  }
  return found;
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

/** Stores progress when it is due. */
export interface Checkpoints {
  /** The stored place; `undefined` while there is none. */
  stored(): bigint | undefined;
  /** When the next one falls due (performance.now()); `undefined` while none will by time alone. */
  dueAt(): number | undefined;
  storeIfDue(): void;
  /** Stores what there is, due or not. */
  flush(): Promise<void>;
}

/** Events that a filter passes over are worth a checkpoint no more often than this. */
const passedEveryMs = 1_000;
/** How soon a checkpoint is tried again while the store cannot write. */
const againMs = 500;

/** Keeps `progress` in `stream`, where `stored` is. `settled` is called after each attempt. */
export const openCheckpoints = (
  parts: { progress: Progress; settings: Settings; writer: Writer; log: Logger },
  stream: string,
  checkpoint: bigint | undefined,
  settled: () => void,
): Checkpoints => {
  const { progress, settings, writer, log } = parts;
  let stored = checkpoint;
  let written = progress.checkpoint();
  let storedAt = performance.now();
  let notBefore = 0;
  let storing: Promise<void> | undefined;

  const write = async (): Promise<void> => {
    const place = progress.checkpoint();
    const since = progress.since();
    if (place === written) return;
    const events = [jsonEvent(checkpointType, place.toString())];
    const outcome = await writer.submit({ kind: 'append', stream, expected: 'any', events });
    storedAt = performance.now();
    if (outcome.done) {
      stored = place;
      written = place;
      progress.written(since);
    } else {
      notBefore = storedAt + againMs;
      log.warn({ stream, because: outcome.because }, 'a checkpoint could not be stored');
    }
  };

  const store = (): Promise<void> => {
    storing ??= write().finally(() => {
      storing = undefined;
      settled();
    });
    return storing;
  };

  /** By number at once, by time when there are enough of them (PersistentSubscription.TryMarkCheckpoint). */
  const dueAt = (): number | undefined => {
    const { covered, finished } = progress.since();
    if (storing || covered <= 0) return undefined;
    if (finished > 0 && covered >= settings.maxCheckpointCount) return notBefore;
    if (covered < settings.minCheckpointCount) return undefined;
    const pauseMs =
      finished > 0 ? settings.checkpointAfterMs : Math.max(settings.checkpointAfterMs, passedEveryMs);
    return Math.max(notBefore, storedAt + pauseMs);
  };

  return {
    stored: () => stored,
    dueAt,
    storeIfDue: () => {
      const at = dueAt();
      if (at !== undefined && at <= performance.now()) void store();
    },
    flush: async () => {
      await storing;
      await store();
    },
  };
};
