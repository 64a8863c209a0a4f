/**
 * A persistent subscription at work: fetches events while there are consumers, shares them out, and waits for each to
 * be acknowledged, repeated, skipped or parked. Kept by registry.ts.
 *
 * At least once: what is not finished when the store ends is delivered again. Memory is bounded by the buffers of the
 * settings and the windows of the consumers; without consumers nothing is fetched and no timer runs.
 */
import type { Logger } from '../../../platform/log.ts';
import { type StoredEvent, tombstoneRevision } from '../event.ts';
import type { Filter } from '../filter.ts';
import { asTheyAre, type Resolved, resolveLinks } from '../links.ts';
import { rangeOf } from '../reader.ts';
import { followAll, followStream, type Sources, type Subscriber } from '../subscriptions.ts';
import type { Writer } from '../writer.ts';
import { isDue, openProgress, type Progress, writeCheckpoint } from './checkpoint.ts';
import {
  type Consumer,
  type ConsumerConnection,
  hold,
  inFlightOf,
  observe,
  openConsumer,
  openRate,
  release,
} from './consumer.ts';
import { allStreams, checkpointStream, type Definition, parkedStream } from './definition.ts';
import { type Dispatch, openDispatch } from './dispatch.ts';
import { type Message, type Nack, openMessage } from './message.ts';
import { openParked } from './parked.ts';

/** What `info` tells of a group. Places are revisions, or positions of $all. */
export interface GroupState {
  readonly definition: Definition;
  readonly status: 'Behind' | 'Live';
  readonly consumers: readonly Consumer[];
  readonly rate: { readonly perSecond: number; readonly sinceLast: number };
  readonly totalItems: number;
  readonly checkpoint: bigint | undefined;
  readonly lastKnown: bigint | undefined;
  readonly buffered: number;
  readonly live: number;
  readonly retrying: number;
  readonly outstanding: number;
  readonly parked: bigint;
}

/** A consumer's side of its group. */
export interface Membership {
  ack(ids: readonly string[]): void;
  nack(ids: readonly string[], action: Nack, reason: string): void;
  leave(): void;
}

/** A running group. */
export interface Group {
  readonly definition: Definition;
  /** Adds a consumer; `undefined` when the group has as many as it may. */
  join(connection: ConsumerConnection): Membership | undefined;
  replayParked(stopAt: bigint | undefined): Promise<void>;
  state(): Promise<GroupState>;
  /** Ends the consumers for `reason` and stores how far the group has come. */
  close(reason: 'dropped' | 'unavailable', detail: string): Promise<void>;
}

/** Due times are looked at no more often than this. */
const minTimerMs = 10;
/** How soon parking is tried again while the store cannot write. */
const parkAgainMs = 500;

/** Opens the group of `definition`, which goes on behind `checkpoint`, or where the definition says without one. */
export const openGroup = (
  definition: Definition,
  filter: Filter | undefined,
  checkpoint: bigint | undefined,
  parts: { sources: Sources; writer: Writer; log: Logger },
): Group => {
  const { sources, writer, log } = parts;
  const { settings, stream } = definition;
  const isAll = stream === allStreams;
  const placeOf = (event: StoredEvent): bigint => (isAll ? event.position : event.revision);
  const resolve = (events: readonly StoredEvent[]): Promise<Resolved[]> =>
    settings.resolveLinks
      ? resolveLinks(sources.sql, sources.cache, events)
      : Promise.resolve(asTheyAre(events));
  const parked = openParked(sources, writer, parkedStream(definition), resolve);
  const dispatch: Dispatch = openDispatch(settings.strategy);
  const progress: Progress = openProgress(checkpoint ?? BigInt(definition.startsAfter));
  const rate = openRate();

  let consumers: Consumer[] = [];
  /** Fetched and waiting for a consumer; what is delivered again goes first. */
  let buffer: Message[] = [];
  let retries: Message[] = [];
  const roomWaiters: (() => void)[] = [];
  let following: AbortController | undefined;
  let isCaughtUp = false;
  let totalItems = 0;
  let stored = checkpoint;
  let storedAt = performance.now();
  let storing: Promise<void> | undefined;
  let timer: NodeJS.Timeout | undefined;
  let timerAt = 0;
  let isClosed = false;

  const store = (): Promise<void> => {
    storing ??= (async () => {
      const place = progress.checkpoint();
      const finished = progress.finishedSince();
      if (place !== stored && place >= 0n) {
        if (await writeCheckpoint(writer, checkpointStream(definition), place)) stored = place;
        else log.warn({ group: definition.group, stream }, 'a checkpoint could not be stored');
      }
      progress.written(finished);
      storedAt = performance.now();
      storing = undefined;
      // What was finished while this one was written may already be enough for the next.
      if (!isClosed) storeIfDue();
      schedule();
    })();
    return storing;
  };

  const storeIfDue = (): void => {
    if (isDue(settings, progress.finishedSince(), performance.now() - storedAt)) void store();
  };

  const finish = (message: Message): void => {
    if (message.parkedRevision === undefined) progress.finished(placeOf(message.source));
    else parked.finished(message.parkedRevision);
    storeIfDue();
  };

  /** Puts messages back in the order of the source, before everything that was never delivered. */
  const repeat = (messages: readonly Message[]): void => {
    for (const message of messages) message.retryCount += 1;
    retries = [...retries, ...messages].sort((a, b) => Number(a.source.position - b.source.position));
  };

  const park = async (message: Message, reason: string): Promise<void> => {
    while (!(await parked.park(message, reason))) {
      // Unfinished until it is parked durably: a crash delivers it again.
      if (isClosed) return;
      await new Promise((done) => setTimeout(done, parkAgainMs).unref());
    }
    finish(message);
    pump();
  };

  const giveBack = (messages: readonly Message[], reason: string): void => {
    const isHopeless = (message: Message): boolean => message.retryCount >= settings.maxRetryCount;
    repeat(messages.filter((message) => !isHopeless(message)));
    for (const message of messages.filter(isHopeless)) void park(message, reason);
  };

  const deliver = (consumer: Consumer, message: Message): void => {
    message.sentAt = performance.now();
    message.dueAt = message.sentAt + settings.messageTimeoutMs;
    hold(consumer, message);
    rate.add();
    totalItems += 1;
    consumer.connection.send(message);
    schedule();
  };

  /** Sends what can be sent of `waiting` and returns the rest, in order. */
  const sendFrom = (waiting: Message[]): Message[] => {
    const isPinned = settings.strategy === 'Pinned' || settings.strategy === 'PinnedByCorrelation';
    const rest: Message[] = [];
    for (const [index, message] of waiting.entries()) {
      const consumer = dispatch(message, consumers);
      if (consumer) deliver(consumer, message);
      else if (isPinned) rest.push(message);
      // Where any consumer will do, one message without a place means there is none for the others either.
      else return waiting.slice(index);
    }
    return rest;
  };

  const pump = (): void => {
    if (consumers.length === 0) return;
    if (retries.length > 0) retries = sendFrom(retries);
    if (retries.length === 0 || settings.strategy.startsWith('Pinned')) {
      if (buffer.length > 0) buffer = sendFrom(buffer);
    }
    if (buffer.length < settings.readBatchSize) for (const wake of roomWaiters.splice(0)) wake();
  };

  const hasRoomForMore = (): boolean => buffer.length < settings.historyBufferSize;

  const room = (signal: AbortSignal): Promise<void> =>
    new Promise((done) => {
      if (signal.aborted || buffer.length < settings.readBatchSize) return done();
      roomWaiters.push(done);
      signal.addEventListener('abort', () => done(), { once: true });
    });

  const take = async (events: readonly StoredEvent[], signal: AbortSignal): Promise<void> => {
    for (let at = 0; at < events.length; at += settings.readBatchSize) {
      if (!hasRoomForMore()) await room(signal);
      const batch = events.slice(at, at + settings.readBatchSize);
      const resolved = await resolve(batch);
      if (signal.aborted) return;
      for (const [index, event] of batch.entries()) {
        const one = resolved[index] as Resolved;
        // The mark of a tombstone ends the stream; it is nothing to process.
        if (event.revision === tombstoneRevision) continue;
        const place = placeOf(event);
        if (one.event && (!filter || filter(one.event))) {
          progress.fetched(place);
          buffer.push(openMessage(one, event));
        } else progress.passed(place);
      }
      pump();
      if (!hasRoomForMore()) await room(signal);
    }
  };

  const follow = async (signal: AbortSignal): Promise<void> => {
    const to: Subscriber = {
      signal,
      events: (events) => take(events, signal),
      checkpoint: async () => {},
      caughtUp: async () => {
        isCaughtUp = true;
      },
    };
    const after = progress.lastFetched();
    if (isAll) await followAll(sources, after, undefined, to);
    else await followStream(sources, stream, after, to);
  };

  const startFollowing = (): void => {
    if (following || isClosed) return;
    const controller = new AbortController();
    following = controller;
    follow(controller.signal).catch((error: Error) => {
      if (controller.signal.aborted) return;
      log.warn({ err: error, group: definition.group, stream }, 'a persistent subscription lost its source');
      following = undefined;
      dropAll('unavailable', error.message);
    });
  };

  const stopFollowing = (): void => {
    following?.abort();
    following = undefined;
    isCaughtUp = false;
  };

  const remove = (consumer: Consumer): void => {
    if (!consumers.includes(consumer)) return;
    consumers = consumers.filter((one) => one !== consumer);
    const lost = inFlightOf(consumer);
    consumer.inFlight.clear();
    consumer.size = 0;
    repeat(lost);
    if (consumers.length > 0) pump();
    else {
      stopFollowing();
      schedule();
    }
  };

  const dropAll = (reason: 'dropped' | 'unavailable', detail: string): void => {
    for (const consumer of [...consumers]) {
      remove(consumer);
      consumer.connection.end(reason, detail);
    }
  };

  const expire = (): void => {
    const now = performance.now();
    for (const consumer of consumers) {
      const late = inFlightOf(consumer).filter((message) => message.dueAt <= now);
      for (const message of late) release(consumer, message.source.id);
      giveBack(late, 'The consumer did not answer in time');
    }
    storeIfDue();
    pump();
  };

  const nextWakeUp = (): number | undefined => {
    const times: number[] = [];
    if (settings.messageTimeoutMs > 0)
      for (const consumer of consumers) {
        for (const [first] of consumer.inFlight.values()) {
          if (first) times.push(first.dueAt);
          break;
        }
      }
    const finished = progress.finishedSince();
    if (finished > 0 && finished >= settings.minCheckpointCount)
      times.push(storedAt + settings.checkpointAfterMs);
    return times.length === 0 ? undefined : Math.min(...times);
  };

  /** One timer, for whatever falls due first; none while nothing can. */
  const schedule = (): void => {
    const at = isClosed ? undefined : nextWakeUp();
    if (at === undefined || (timer && timerAt <= at)) return;
    clearTimeout(timer);
    timerAt = at;
    timer = setTimeout(
      () => {
        timer = undefined;
        expire();
        schedule();
      },
      Math.max(minTimerMs, at - performance.now()),
    );
    timer.unref();
  };

  const join: Group['join'] = (connection) => {
    const { maxSubscriberCount } = settings;
    if (maxSubscriberCount > 0 && consumers.length >= maxSubscriberCount) return undefined;
    const consumer = openConsumer(connection);
    consumers = [...consumers, consumer];
    startFollowing();
    // The consumer is confirmed before its first event, so that nothing is sent within this call.
    queueMicrotask(pump);
    const taken = (ids: readonly string[]): Message[] => ids.flatMap((id) => release(consumer, id) ?? []);
    return {
      ack: (ids) => {
        for (const message of taken(ids)) {
          if (settings.extraStatistics) observe(consumer, performance.now() - message.sentAt);
          finish(message);
        }
        pump();
        schedule();
      },
      nack: (ids, action, reason) => {
        // Stop says only that the consumer is about to leave; its events go elsewhere when it does.
        if (action === 'stop') return;
        const messages = taken(ids);
        if (action === 'retry') giveBack(messages, reason);
        for (const message of messages) {
          if (action === 'skip') finish(message);
          else if (action === 'park') void park(message, reason);
        }
        pump();
        schedule();
      },
      leave: () => remove(consumer),
    };
  };

  const lastKnown = async (): Promise<bigint | undefined> => {
    if (isAll) return sources.recent.last();
    const range = rangeOf(stream, await sources.cache.committed(stream));
    return typeof range === 'string' ? undefined : range.to;
  };

  return {
    definition,
    join,
    replayParked: async (stopAt) => {
      for await (const messages of parked.replay(stopAt)) {
        retries = [...retries, ...messages];
        pump();
      }
    },
    state: async () => {
      const outstanding = consumers.reduce((sum, consumer) => sum + consumer.size, 0);
      return {
        definition,
        status: isCaughtUp || consumers.length === 0 ? 'Live' : 'Behind',
        consumers,
        rate: rate.measure(),
        totalItems,
        checkpoint: stored,
        lastKnown: await lastKnown(),
        buffered: isCaughtUp ? 0 : buffer.length,
        live: isCaughtUp ? buffer.length : 0,
        retrying: retries.length,
        outstanding,
        parked: await parked.count(),
      };
    },
    close: async (reason, detail) => {
      isClosed = true;
      clearTimeout(timer);
      stopFollowing();
      dropAll(reason, detail);
      await storing;
      await store();
    },
  };
};
