/**
 * Runs one command against one aggregate: load, fold, decide once, append at the expected revision; again on a
 * conflict and on nothing else. Called by api/ (mutations, device sync) and workers/ (jobs).
 *
 * Folded states are kept in a bounded cache and used without reading first: an append at the expected revision
 * proves that the state was current, and a decision that appends nothing is repeated on a freshly read state
 * before it is believed. See docs/adr/0004-optimistic-write-side.md.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { LRUCache } from 'lru-cache';
import type { Decider, EventCatalogue, Fact } from '../domain/decider.ts';
import { schemaVersionOf } from '../domain/events.ts';
import type { TenantId } from '../domain/ids.ts';
import { isRefusal, type Refusal } from '../domain/refusals.ts';
import { type Clock, isoTime } from './clock.ts';
import { MusterError } from './errors.ts';
import { type Actor, type EventStore, type NewEvent, streamName } from './event-store.ts';
import { eventId } from './new-id.ts';
import type { SnapshotStore } from './snapshots.ts';
import { isWatched, type Mark, type Proof, type Watch } from './watch.ts';

/** The cause of a command: who, for which request (`correlationId`), because of which event or request. */
export interface Cause {
  readonly actor: Actor;
  /** Makes the appended event ids repeatable: the same command appended twice is appended once. */
  readonly commandId: string;
  readonly correlationId?: string;
  readonly causationId?: string;
}

/** A folded aggregate at a revision (-1n: it has no events yet). */
export interface Loaded<State> {
  readonly state: State;
  readonly revision: bigint;
}

/** An accepted command: the events it appended (none if it changed nothing), the state after them, and their place. */
export interface Handled<State, Event> extends Loaded<State> {
  readonly events: readonly Event[];
  /** Log position of the last appended event; undefined when nothing was appended. */
  readonly position: bigint | undefined;
}

type AnyEvent = { readonly type: string; readonly data: unknown };

/** The write side. `command` may be a function of the time: ISO 8601 UTC, the `at` of the events it leads to. */
export interface Handler {
  handle<State, Command, Event extends AnyEvent>(
    decider: Decider<State, Command, Event>,
    target: { tenantId: TenantId; id: string },
    command: Command | ((now: string) => Command | Promise<Command>),
    cause: Cause,
  ): Promise<Handled<State, Event> | Refusal>;
  /** Folds an aggregate. A state proven current within `maxAgeMs` (default 0) is used without reading the log. */
  load<State, Command, Event extends AnyEvent>(
    decider: Decider<State, Command, Event>,
    target: { tenantId: TenantId; id: string },
    options?: { maxAgeMs?: number },
  ): Promise<Loaded<State>>;
}

interface Entry {
  state: unknown;
  revision: bigint;
  snapshotRevision: bigint;
  /** ms since the epoch of the last proof that the state was current. */
  provenAt: number;
  /** What proves it from then on, for as long as no change is seen. */
  watched?: Proof | undefined;
}

const provenAt = (entry: Entry): number =>
  Math.max(entry.provenAt, entry.watched?.provenAt ?? Number.NEGATIVE_INFINITY);

/**
 * The event as it will be read back. One that its own schema rejects is never appended: it would stop every
 * follower of the log.
 */
const readableEvent = <Event extends AnyEvent>(
  { schemas }: EventCatalogue,
  stream: string,
  event: Event,
): Event => {
  const parsed = schemas[event.type]?.safeParse(event.data);
  if (!parsed?.success)
    throw new MusterError('internal', `${event.type} for ${stream} does not fit its schema`, {
      cause: parsed?.error,
    });
  return { ...event, data: parsed.data };
};

const conflictTries = 8;
/** A snapshot is stored whenever an aggregate has this many events more than its last one, unless its decider says. */
const usualSnapshotEvery = 100;
type Snapshotted = Pick<Decider<unknown, never, AnyEvent>, 'events' | 'stateVersion' | 'snapshotEvery'>;

/** States of watched categories kept by default: apart, so that many devices do not push their tenants out. */
const usualCachedReferences = 50_000;

/** Makes the write side over a log; `cachedAggregates` and `cachedReferences` bound its memory. */
export const openHandler = (deps: {
  store: EventStore;
  clock: Clock;
  snapshots: SnapshotStore;
  watch?: Watch;
  cachedAggregates?: number;
  cachedReferences?: number;
}): Handler => {
  const { store, clock, snapshots, watch } = deps;
  const aggregates = new LRUCache<string, Entry>({ max: deps.cachedAggregates ?? 20_000 });
  const references = new LRUCache<string, Entry>({ max: deps.cachedReferences ?? usualCachedReferences });
  const cacheOf = ({ events }: { readonly events: Pick<EventCatalogue, 'category'> }) =>
    isWatched(events.category) ? references : aggregates;
  watch?.onChange((stream, revision) => {
    const entry = references.peek(stream);
    if (revision === 'deleted') references.delete(stream);
    // What is known of it stays, so that only what is new is read.
    else if (entry && entry.revision < revision)
      references.set(stream, { ...entry, provenAt: Number.NEGATIVE_INFINITY, watched: undefined });
  });
  /** Commands on one stream run one after another within this process, so that they never conflict here. */
  const tails = new Map<string, Promise<unknown>>();
  /** Reads of streams under way, and since when (ms since the epoch). */
  const reads = new Map<string, { readonly at: number; readonly entry: Promise<Entry> }>();

  const refresh = async <State, Event extends AnyEvent>(
    decider: Decider<State, never, Event>,
    stream: string,
  ): Promise<Entry> => {
    const cache = cacheOf(decider);
    const mark = watch?.mark();
    const known = cache.get(stream) ?? (await snapshots.find(stream, decider.stateVersion));
    let state = (known?.state ?? decider.initial) as State;
    let revision = known?.revision ?? -1n;
    const snapshotRevision = known?.snapshotRevision ?? -1n;
    try {
      for await (const stored of store.readStream(stream, revision + 1n)) {
        state = decider.evolve(state, { type: stored.type, data: stored.data, at: stored.at } as Fact<Event>);
        revision = stored.revision;
      }
    } catch (error) {
      if (!(error instanceof MusterError) || error.code !== 'stream-deleted') throw error;
      // What was deleted is as if it had never been, whatever was known of it.
      cache.delete(stream);
      return { state: decider.initial, revision: -1n, snapshotRevision: -1n, provenAt: clock() };
    }
    return remember(decider, stream, { state, revision, snapshotRevision, provenAt: clock() }, mark);
  };

  /** Keeps a state that was found, or made, since `mark`. */
  const remember = (
    { events, stateVersion, snapshotEvery = usualSnapshotEvery }: Snapshotted,
    stream: string,
    entry: Entry,
    mark: Mark | undefined,
  ): Entry => {
    if (entry.revision - entry.snapshotRevision >= BigInt(snapshotEvery)) {
      entry.snapshotRevision = entry.revision;
      snapshots.save(stream, stateVersion, entry);
    }
    // Absence is not remembered: requests about ids that never existed must not push real aggregates out.
    if (entry.revision < 0n) return entry;
    entry.watched =
      mark && isWatched(events.category) ? watch?.covers(mark, stream, entry.revision) : undefined;
    const cache = cacheOf({ events });
    const newer = cache.get(stream);
    if (!newer || newer.revision <= entry.revision) cache.set(stream, entry);
    return entry;
  };

  /** Loads that may be this old share one read of the log: a policy that many devices wait for is read once. */
  const readOnce = (
    decider: Decider<unknown, never, AnyEvent>,
    stream: string,
    maxAgeMs: number,
  ): Promise<Entry> => {
    const begun = reads.get(stream);
    if (begun && clock() - begun.at < maxAgeMs) return begun.entry;
    const read = { at: clock(), entry: refresh(decider, stream) };
    reads.set(stream, read);
    const ended = () => {
      if (reads.get(stream) === read) reads.delete(stream);
    };
    read.entry.then(ended, ended);
    return read.entry;
  };

  const attempt = async <State, Command, Event extends AnyEvent>(
    decider: Decider<State, Command, Event>,
    target: { tenantId: TenantId; id: string },
    command: Command | ((now: string) => Command | Promise<Command>),
    cause: Cause,
  ): Promise<Handled<State, Event> | Refusal> => {
    const stream = streamName(decider.events.category, target.tenantId, target.id);
    const cache = cacheOf(decider);
    let cached = cache.get(stream);
    for (let tries = 0; tries < conflictTries; ) {
      const fresh = cached === undefined;
      const entry = cached ?? (await refresh(decider as Decider<State, never, Event>, stream));
      cached = undefined;
      const at = isoTime(clock());
      const outcome = decider.decide(
        typeof command === 'function'
          ? await (command as (now: string) => Command | Promise<Command>)(at)
          : command,
        entry.state as State,
      );
      const nothing = isRefusal(outcome) || outcome.length === 0;
      if (nothing && !fresh) continue;
      if (isRefusal(outcome)) return outcome;
      const decided = outcome.map((event) => readableEvent(decider.events, stream, event));
      if (decided.length === 0)
        return { state: entry.state as State, revision: entry.revision, events: [], position: undefined };
      const events = decided.map(
        (event, index): NewEvent => ({
          id: eventId(stream, `${cause.commandId}@${entry.revision}`, index),
          type: event.type,
          data: event.data,
          metadata: {
            tenantId: target.tenantId,
            actor: cause.actor,
            $causationId: cause.causationId ?? cause.commandId,
            $correlationId: cause.correlationId ?? cause.commandId,
            schemaVersion: schemaVersionOf(decider.events.category, event.type),
            at,
          },
        }),
      );
      const mark = watch?.mark();
      const appended = await store.append(stream, events, entry.revision).catch((error: unknown) => {
        cache.delete(stream);
        throw error;
      });
      if (appended === 'conflict') {
        tries += 1;
        // Who lost reads before it appends again, and would lose for ever against one that only appends.
        await sleep(Math.random() * 2 ** tries);
        continue;
      }
      const state = decided.reduce(
        (folded, event) => decider.evolve(folded, { ...event, at } as Fact<Event>),
        entry.state as State,
      );
      const { revision } = appended;
      const { snapshotRevision } = entry;
      remember(decider, stream, { state, revision, snapshotRevision, provenAt: clock() }, mark);
      return { state, revision, events: decided, position: appended.position };
    }
    throw new MusterError('too-busy', `${stream} changed under ${conflictTries} attempts`);
  };

  return {
    async handle(decider, target, command, cause) {
      const stream = streamName(decider.events.category, target.tenantId, target.id);
      const earlier = tails.get(stream);
      const run = earlier
        ? earlier.then(
            () => attempt(decider, target, command, cause),
            () => attempt(decider, target, command, cause),
          )
        : attempt(decider, target, command, cause);
      tails.set(stream, run);
      try {
        return await run;
      } finally {
        if (tails.get(stream) === run) tails.delete(stream);
      }
    },
    async load(decider, target, options = {}) {
      const stream = streamName(decider.events.category, target.tenantId, target.id);
      const maxAgeMs = options.maxAgeMs ?? 0;
      const { category } = decider.events;
      if (maxAgeMs > 0 && isWatched(category)) watch?.wake();
      const cached = cacheOf(decider).get(stream);
      if (cached && clock() - provenAt(cached) < maxAgeMs)
        return { state: cached.state as never, revision: cached.revision };
      const entry = await readOnce(decider as unknown as Decider<unknown, never, AnyEvent>, stream, maxAgeMs);
      return { state: entry.state as never, revision: entry.revision };
    },
  };
};
