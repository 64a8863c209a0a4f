/**
 * One consumer of a group: its window of events in flight, and what is measured of it.
 * Kept by group.ts; opened by grpc/persistent-read.ts.
 */
import type { Message } from './message.ts';

/** Why consumers are sent away. */
export interface Farewell {
  readonly because: 'dropped' | 'unavailable';
  readonly detail: string;
}

/** How a group reaches a consumer. */
export interface ConsumerConnection {
  /** Where it connects from, as whom, and what it calls itself. */
  readonly from: string;
  readonly username: string;
  readonly connectionName: string;
  /** Events it takes before it has answered for some. */
  readonly window: number;
  /** Whether what was sent before is on its way. It tells its membership when that becomes so again. */
  isReady(): boolean;
  send(message: Message): void;
  /** Ends the connection from the server's side. */
  end(farewell: Farewell): void;
}

/** A consumer with its events in flight, by event id. Ids may repeat in a log, hence lists. */
export interface Consumer {
  readonly connection: ConsumerConnection;
  readonly inFlight: Map<string, Message[]>;
  size: number;
  bytes: number;
  totalItems: number;
  readonly latenciesMs: number[];
  nextLatency: number;
  readonly rate: Rate;
}

/** Counts items and tells how many a second came since it was last asked. */
export interface Rate {
  add(): void;
  measure(): { readonly perSecond: number; readonly sinceLast: number };
}

const measureEveryMs = 1_000;

export const openRate = (): Rate => {
  let total = 0;
  let totalBefore = 0;
  let measuredAt = performance.now();
  let last = { perSecond: 0, sinceLast: 0 };
  return {
    add: () => {
      total += 1;
    },
    measure: () => {
      const elapsedMs = performance.now() - measuredAt;
      if (elapsedMs >= measureEveryMs || last.sinceLast === 0) {
        const sinceLast = total - totalBefore;
        last = { perSecond: Math.round((sinceLast * 1_000) / Math.max(1, elapsedMs)), sinceLast };
        totalBefore = total;
        measuredAt = performance.now();
      }
      return last;
    },
  };
};

export const openConsumer = (connection: ConsumerConnection): Consumer => ({
  connection,
  inFlight: new Map(),
  size: 0,
  bytes: 0,
  totalItems: 0,
  latenciesMs: [],
  nextLatency: 0,
  rate: openRate(),
});

/** In flight at one consumer, however large its window: what it has not answered for is kept in memory. */
const maxBytesInFlight = 32 * 1024 * 1024;

/** Whether it may be sent one more. */
export const hasRoom = ({ size, bytes, connection }: Consumer): boolean =>
  size < connection.window && bytes < maxBytesInFlight && connection.isReady();

/** Puts a message in flight. */
export const hold = (consumer: Consumer, message: Message): void => {
  const { id } = message.source;
  const same = consumer.inFlight.get(id);
  if (same) same.push(message);
  else consumer.inFlight.set(id, [message]);
  consumer.size += 1;
  consumer.bytes += message.bytes;
  consumer.totalItems += 1;
  consumer.rate.add();
};

/** Takes the message with this event id out of flight; `undefined` when it is not, or no longer, there. */
export const release = (consumer: Consumer, id: string): Message | undefined => {
  const same = consumer.inFlight.get(id);
  const message = same?.shift();
  if (!same || !message) return undefined;
  if (same.length === 0) consumer.inFlight.delete(id);
  consumer.size -= 1;
  consumer.bytes -= message.bytes;
  return message;
};

/** Everything in flight. */
export const inFlightOf = (consumer: Consumer): Message[] => [...consumer.inFlight.values()].flat();

/** Takes everything out of flight. */
export const releaseAll = (consumer: Consumer): Message[] => {
  const messages = inFlightOf(consumer);
  consumer.inFlight.clear();
  consumer.size = 0;
  consumer.bytes = 0;
  return messages;
};

/** When the message that was sent first is late (performance.now()); `undefined` while nothing is in flight. */
export const firstDueAt = (consumer: Consumer): number | undefined =>
  consumer.inFlight.values().next().value?.[0]?.dueAt;

const keptLatencies = 1_000;

/** Remembers how long a consumer took for an event. */
export const observe = (consumer: Consumer, latencyMs: number): void => {
  consumer.latenciesMs[consumer.nextLatency] = latencyMs;
  consumer.nextLatency = (consumer.nextLatency + 1) % keptLatencies;
};

/** Times in ms as EventStoreDB names them in extra statistics; none before the first answer. */
export const measurementsOf = (consumer: Consumer): [name: string, valueMs: number][] => {
  const sorted = [...consumer.latenciesMs].sort((a, b) => a - b);
  if (sorted.length === 0) return [];
  const at = (share: number): number =>
    Math.round(sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] as number);
  const mean = sorted.reduce((sum, one) => sum + one, 0) / sorted.length;
  return [
    ['Mean', Math.round(mean)],
    ['Median', at(0.5)],
    ['Fastest', Math.round(sorted[0] as number)],
    ...[1, 2, 3, 4, 5].map((n): [string, number] => [`Quintile ${n}`, at(n / 5)]),
    ['90%', at(0.9)],
    ['95%', at(0.95)],
    ['99%', at(0.99)],
    ['99.5%', at(0.995)],
    ['99.9%', at(0.999)],
    ['Highest', Math.round(sorted.at(-1) as number)],
  ];
};
