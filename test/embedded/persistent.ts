/** What the tests of persistent subscriptions share. */
import {
  type EventStoreDBClient,
  type PersistentSubscriptionToAllSettings,
  type PersistentSubscriptionToStreamInfo,
  type PersistentSubscriptionToStreamResolvedEvent,
  type PersistentSubscriptionToStreamSettings,
  persistentSubscriptionToAllSettingsFromDefaults,
  persistentSubscriptionToStreamSettingsFromDefaults,
  START,
} from '@eventstore/db-client';
import type { Contract } from './support.ts';

export const group = 'consumers';

/** Settings that begin at the start. */
export const settingsFrom = (changes: Partial<PersistentSubscriptionToStreamSettings> = {}) =>
  persistentSubscriptionToStreamSettingsFromDefaults({ startFrom: START, ...changes });

/** The same for a group of $all. */
export const allSettingsFrom = (changes: Partial<PersistentSubscriptionToAllSettings> = {}) =>
  persistentSubscriptionToAllSettingsFromDefaults({ startFrom: START, ...changes });

type Subscription = ReturnType<EventStoreDBClient['subscribeToPersistentSubscriptionToStream']>;
type Delivery = PersistentSubscriptionToStreamResolvedEvent;

/** A consumer that remembers what it is sent, with a way to wait for it. */
export interface TestConsumer {
  readonly subscription: Subscription;
  readonly deliveries: Delivery[];
  /** `n` of each delivery's data. */
  numbers(): number[];
  /** Resolves after `count` deliveries of those that `counts`; rejects when the subscription fails first. */
  until(count: number, counts?: (delivery: Delivery) => boolean): Promise<void>;
  readonly failed: Promise<Error>;
  leave(): Promise<void>;
}

/** Listens to `subscription`; `onDelivery` may answer. Resolves when it is confirmed. */
export const consume = async (
  subscription: Subscription,
  onDelivery: (delivery: Delivery, consumer: TestConsumer) => void = () => {},
): Promise<TestConsumer> => {
  const deliveries: Delivery[] = [];
  const waiters = new Set<() => void>();
  let failure: Error | undefined;
  let fail: (error: Error) => void = () => {};
  const failed = new Promise<Error>((resolve) => {
    fail = resolve;
  });
  const changed = () => {
    for (const check of [...waiters]) check();
  };
  const consumer: TestConsumer = {
    subscription,
    deliveries,
    failed,
    numbers: () => deliveries.map(({ event }) => (event?.data as { n: number } | undefined)?.n ?? Number.NaN),
    until: (count, counts = () => true) =>
      new Promise((resolve, reject) => {
        const check = () => {
          const isEnough = deliveries.filter(counts).length >= count;
          if (!isEnough && !failure) return;
          waiters.delete(check);
          if (isEnough) resolve();
          else reject(failure);
        };
        waiters.add(check);
        check();
      }),
    leave: () => subscription.unsubscribe(),
  };
  const confirmed = new Promise<void>((resolve, reject) => {
    subscription.once('confirmation', () => resolve());
    subscription.once('error', reject);
  });
  subscription.on('data', (delivery: Delivery) => {
    deliveries.push(delivery);
    onDelivery(delivery, consumer);
    changed();
  });
  subscription.on('error', (error: Error) => {
    failure = error;
    fail(error);
    changed();
  });
  await confirmed;
  return consumer;
};

/** Acknowledges whatever comes. */
export const acknowledge = (delivery: Delivery, { subscription }: TestConsumer): void =>
  void subscription.ack(delivery);

/** Joins `group` of `stream`. */
export const joinStream = (
  client: EventStoreDBClient,
  stream: string,
  onDelivery?: (delivery: Delivery, consumer: TestConsumer) => void,
  options: { bufferSize?: number } = {},
): Promise<TestConsumer> =>
  consume(client.subscribeToPersistentSubscriptionToStream(stream, group, options), onDelivery);

/** Joins the group `name` of $all, whose deliveries differ in their types only. */
export const joinAll = (
  client: EventStoreDBClient,
  name: string,
  onDelivery?: (delivery: Delivery, consumer: TestConsumer) => void,
  options: { bufferSize?: number } = {},
): Promise<TestConsumer> =>
  consume(
    client.subscribeToPersistentSubscriptionToAll(name, options) as unknown as Subscription,
    onDelivery,
  );

/** What `info` tells of `group` of a stream, once `wanted` holds. */
export const infoOnce = (
  client: EventStoreDBClient,
  stream: string,
  wanted: (info: PersistentSubscriptionToStreamInfo) => boolean,
): Promise<PersistentSubscriptionToStreamInfo> =>
  eventually(() => client.getPersistentSubscriptionToStreamInfo(stream, group), wanted);

/** Asks until `wanted` holds: what the server counts settles after its answers. */
export const eventually = async <T>(ask: () => Promise<T>, wanted: (answer: T) => boolean): Promise<T> => {
  for (;;) {
    const answer = await ask();
    if (wanted(answer)) return answer;
  }
};

export type { Contract, Delivery };
