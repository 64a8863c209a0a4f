/**
 * A persistent subscription at work: shares events out among its consumers, and waits for each event to be
 * acknowledged, repeated, skipped or parked. Kept by registry.ts; fetch.ts brings the events.
 *
 * At least once: what is not finished when the store ends is delivered again. Memory is bounded by the buffers of the
 * settings and the windows of the consumers; without consumers nothing is fetched and no timer runs.
 */
import type { Logger } from '../../../platform/log.ts';
import type { Filter } from '../filter.ts';
import { rangeOf } from '../reader.ts';
import type { Sources } from '../subscriptions.ts';
import type { Writer } from '../writer.ts';
import { openCheckpoints } from './checkpoint.ts';
import {
  type Consumer,
  type ConsumerConnection,
  type Farewell,
  firstDueAt,
  hasRoom,
  hold,
  inFlightOf,
  observe,
  openConsumer,
  openRate,
  release,
  releaseAll,
} from './consumer.ts';
import { allStreams, checkpointStream, type Definition, parkedStream, placeOf } from './definition.ts';
import { isPinned, openDispatch } from './dispatch.ts';
import { openFetcher } from './fetch.ts';
import type { Message, Nack } from './message.ts';
import { openParked } from './parked.ts';
import { openProgress } from './progress.ts';
import { openTimer } from './timer.ts';
import { openWaiting } from './waiting.ts';

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
  /** The connection is ready for more. */
  resume(): void;
  leave(): void;
}

/** A running group. */
export interface Group {
  readonly definition: Definition;
  readonly filter: Filter | undefined;
  /** Adds a consumer. Not so when the group has as many as it may, or was closed in this moment. */
  join(connection: ConsumerConnection): Membership | { readonly because: 'full' } | Farewell;
  /** Resolves when the replay has begun; parked events are delivered as consumers have room for them. */
  replayParked(stopAt: bigint | undefined): Promise<void>;
  state(): Promise<GroupState>;
  /** Ends the consumers, stores how far the group has come and returns it; `undefined` when it never began. */
  close(farewell: Farewell): Promise<bigint | undefined>;
}

/** Opens the group of `definition`, which goes on behind `checkpoint`, or where the definition says without one. */
export const openGroup = (
  definition: Definition,
  filter: Filter | undefined,
  checkpoint: bigint | undefined,
  parts: { sources: Sources; writer: Writer; log: Logger },
): Group => {
  const { sources, writer, log } = parts;
  const { settings, stream } = definition;
  const start = checkpoint ?? BigInt(definition.startsAfter);
  const progress = openProgress(start);
  const waiting = openWaiting(settings);
  const dispatch = openDispatch(settings.strategy);
  const closing = new AbortController();
  const parked = openParked(parts, parkedStream(definition), closing.signal);
  const rate = openRate();
  let consumers: readonly Consumer[] = [];
  let totalItems = 0;
  const parking = new Set<Promise<void>>();
  let closed: Farewell | undefined;
  let isPumping = false;
  let pumpAgain = false;

  const deliver = (message: Message, consumer: Consumer): void => {
    message.sentAt = performance.now();
    message.dueAt =
      settings.messageTimeoutMs > 0 ? message.sentAt + settings.messageTimeoutMs : Number.POSITIVE_INFINITY;
    hold(consumer, message);
    rate.add();
    totalItems += 1;
    consumer.connection.send(message);
  };

  const hasAnyRoom = isPinned(settings.strategy) ? () => consumers.some(hasRoom) : () => false;

  /** Sends what can be sent. Sending may find out that a consumer is gone, and lead back here. */
  const pump = (): void => {
    pumpAgain = true;
    if (isPumping) return;
    isPumping = true;
    while (pumpAgain && consumers.length > 0) {
      pumpAgain = false;
      waiting.offer((message) => dispatch(message, consumers), deliver, hasAnyRoom);
    }
    isPumping = false;
    timer.schedule();
  };

  const checkpoints = openCheckpoints(
    { progress, settings, writer, log },
    checkpointStream(definition),
    checkpoint,
    () => {
      // What was finished while this one was written may already be enough for the next.
      if (!closed) checkpoints.storeIfDue();
      timer.schedule();
    },
  );

  const finish = (message: Message): void => {
    if (message.parkedRevision === undefined) progress.finished(placeOf(definition, message.source));
    else parked.finished(message.parkedRevision);
    checkpoints.storeIfDue();
  };

  const repeat = (messages: readonly Message[]): void => {
    for (const message of messages) message.retryCount += 1;
    waiting.addAgain(messages);
  };

  /** Unfinished until it is parked durably: a crash before delivers it again. */
  const park = (message: Message, reason: string): void => {
    const parkedNow = parked.park(message, reason).then((isParked) => {
      parking.delete(parkedNow);
      if (isParked) finish(message);
    });
    parking.add(parkedNow);
  };

  /** As on the real server, a consumer that leaves costs its events a retry, but does not park them. */
  const giveBack = (messages: readonly Message[]): void => {
    // Told apart before anything is counted up, or one on its last retry would be both repeated and parked.
    const hopeless = messages.filter(({ retryCount }) => retryCount >= settings.maxRetryCount);
    repeat(messages.filter((message) => !hopeless.includes(message)));
    for (const message of hopeless) park(message, `Reached retry count of ${settings.maxRetryCount}`);
  };

  const fetcher = openFetcher(
    definition,
    filter,
    { sources, progress, waiting },
    {
      fetched: () => {
        checkpoints.storeIfDue();
        pump();
      },
      failed: (error) => {
        log.warn(
          { err: error, group: definition.group, stream },
          'a persistent subscription lost its source',
        );
        dropAll({ because: 'unavailable', detail: error.message });
      },
    },
  );

  /** What nobody has seen yet is fetched again when somebody comes, rather than kept until then. */
  const rest = (): void => {
    fetcher.stop();
    const first = waiting.withdraw();
    if (first) progress.rewind(placeOf(definition, first.source));
    timer.schedule();
  };

  const remove = (leaving: readonly Consumer[]): void => {
    consumers = consumers.filter((one) => !leaving.includes(one));
    for (const consumer of leaving) repeat(releaseAll(consumer));
    if (consumers.length > 0) pump();
    else rest();
  };

  const dropAll = (farewell: Farewell): void => {
    const leaving = consumers;
    remove(leaving);
    for (const consumer of leaving) consumer.connection.end(farewell);
  };

  const expire = (now: number): void => {
    for (const consumer of consumers) {
      const late = inFlightOf(consumer).filter((message) => message.dueAt <= now);
      for (const message of late) release(consumer, message.source.id);
      giveBack(late);
    }
  };

  const timer = openTimer(
    () => [...consumers.map(firstDueAt), checkpoints.dueAt()],
    () => {
      expire(performance.now());
      checkpoints.storeIfDue();
      pump();
    },
  );

  const answersOf = (consumer: Consumer): Membership => {
    const taken = (ids: readonly string[]): Message[] => ids.flatMap((id) => release(consumer, id) ?? []);
    return {
      ack: (ids) => {
        for (const message of taken(ids)) {
          if (settings.extraStatistics) observe(consumer, performance.now() - message.sentAt);
          finish(message);
        }
        pump();
      },
      nack: (ids, action, reason) => {
        // Stop says only that the consumer is about to leave; its events go elsewhere when it does.
        if (action === 'stop') return;
        const messages = taken(ids);
        if (action === 'retry') giveBack(messages);
        else
          for (const message of messages) {
            if (action === 'skip') finish(message);
            else park(message, `Client explicitly NAK'ed message.\n${reason}`);
          }
        pump();
      },
      resume: pump,
      leave: () => remove([consumer]),
    };
  };

  const join: Group['join'] = (connection) => {
    const { maxSubscriberCount } = settings;
    if (closed) return closed;
    if (maxSubscriberCount > 0 && consumers.length >= maxSubscriberCount) return { because: 'full' };
    const consumer = openConsumer(connection);
    consumers = [...consumers, consumer];
    fetcher.start();
    // The consumer is confirmed before its first event, so that nothing is sent within this call.
    queueMicrotask(pump);
    return answersOf(consumer);
  };

  const lastKnown = async (): Promise<bigint | undefined> => {
    if (stream === allStreams) return sources.recent.last();
    const range = rangeOf(stream, await sources.cache.committed(stream));
    return typeof range === 'string' ? undefined : range.to;
  };

  return {
    definition,
    filter,
    join,
    replayParked: (stopAt) =>
      parked.replay(stopAt, async (messages) => {
        waiting.addAgain(messages);
        pump();
        await waiting.roomAgain(closing.signal);
      }),
    state: async () => {
      const { fresh, again } = waiting.counts();
      const isCaughtUp = fetcher.isCaughtUp();
      return {
        definition,
        status: isCaughtUp || consumers.length === 0 ? 'Live' : 'Behind',
        consumers,
        rate: rate.measure(),
        totalItems,
        checkpoint: checkpoints.stored(),
        lastKnown: await lastKnown(),
        buffered: isCaughtUp ? 0 : fresh,
        live: isCaughtUp ? fresh : 0,
        retrying: again,
        // One being parked is nobody’s and not parked yet: whoever waits for quiet must see it.
        outstanding: consumers.reduce((sum, consumer) => sum + consumer.size, parking.size),
        parked: await parked.count(),
      };
    },
    close: async (farewell) => {
      closed = farewell;
      timer.stop();
      closing.abort();
      dropAll(farewell);
      await Promise.all(parking);
      await checkpoints.flush();
      const place = progress.checkpoint();
      return place === start ? checkpoint : place;
    },
  };
};
