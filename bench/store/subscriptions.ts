/**
 * Live subscriptions: how soon subscribers hear of a committed event, how many of them one store feeds, and what one
 * that hears nothing costs. Called by main.ts.
 */
import { readFileSync } from 'node:fs';
import { END, EventStoreDBClient, jsonEvent, START } from '@eventstore/db-client';
import { newUuid } from '../../platform/new-id.ts';
import { type Measured, summarise } from '../measure.ts';
import { figureRow, heading, rateRow, row } from '../report.ts';

type Subscription = ReturnType<EventStoreDBClient['subscribeToStream']>;

const once = (subscription: Subscription, event: 'confirmation' | 'caughtUp'): Promise<void> =>
  new Promise((resolve, reject) => {
    subscription.once(event as 'confirmation', () => resolve());
    subscription.once('error', reject);
  });

/** Opens `count` subscriptions to `stream` and answers once all have caught up. */
const subscribe = async (
  client: EventStoreDBClient,
  stream: string,
  count: number,
): Promise<Subscription[]> => {
  const subscriptions = Array.from({ length: count }, () =>
    client.subscribeToStream(stream, { fromRevision: START }),
  );
  await Promise.all(subscriptions.map((one) => once(one, 'caughtUp')));
  return subscriptions;
};

const leave = (subscriptions: readonly Subscription[]): Promise<unknown> =>
  Promise.all(subscriptions.map((one) => one.unsubscribe()));

/**
 * From the call of an append, one at a time, until it is acknowledged and until the last of `count` subscribers has its
 * event. The store sends an event to subscribers as soon as it is committed, so that it often overtakes the answer.
 */
const delivery = async (
  client: EventStoreDBClient,
  count: number,
  durationMs: number,
): Promise<{ acknowledged: Measured; delivered: Measured }> => {
  const stream = `bench-live-${newUuid()}`;
  const subscriptions = await subscribe(client, stream, count);
  let waiting = 0;
  let arrived: () => void = () => {};
  for (const subscription of subscriptions)
    subscription.on('data', () => {
      waiting -= 1;
      if (waiting === 0) arrived();
    });
  const acknowledged: number[] = [];
  const delivered: number[] = [];
  const startedAt = performance.now();
  while (performance.now() - startedAt < durationMs) {
    waiting = count;
    const calledAt = performance.now();
    const everywhere = new Promise<void>((resolve) => {
      arrived = () => {
        delivered.push(performance.now() - calledAt);
        resolve();
      };
    });
    await client.appendToStream(stream, jsonEvent({ type: 'Benched', data: { at: 'now' } }));
    acknowledged.push(performance.now() - calledAt);
    await everywhere;
  }
  const elapsedMs = performance.now() - startedAt;
  await leave(subscriptions);
  return { acknowledged: summarise(acknowledged, elapsedMs), delivered: summarise(delivered, elapsedMs) };
};

/** Events a second that each of `count` subscribers receives while one caller appends chunks of 100. */
const throughput = async (client: EventStoreDBClient, count: number, durationMs: number): Promise<number> => {
  const stream = `bench-flood-${newUuid()}`;
  const subscriptions = await subscribe(client, stream, count);
  let received = 0;
  let wake: () => void = () => {};
  for (const subscription of subscriptions)
    subscription.on('data', () => {
      received += 1;
      wake();
    });
  const events = () => Array.from({ length: 100 }, () => jsonEvent({ type: 'Benched', data: { at: 'now' } }));
  const startedAt = performance.now();
  let sent = 0;
  while (performance.now() - startedAt < durationMs) {
    await client.appendToStream(stream, events());
    sent += 100;
    // One chunk ahead of the slowest subscriber: the rate is theirs, not the writer's.
    while (received < (sent - 100) * count)
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
  }
  const rate = (received * 1000) / (performance.now() - startedAt) / count;
  await leave(subscriptions);
  return rate;
};

const idleSubscribers = 1_000;

/** KiB of anonymous memory of a process (RssAnon in proc(5)). */
const residentKiB = (pid: number): number =>
  Number(/RssAnon:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? Number.NaN);

const idleMemory = async (client: EventStoreDBClient, pid: number): Promise<number> => {
  // A first round lets the process take the memory that it keeps whatever comes.
  await leave(await subscribe(client, `bench-idle-${newUuid()}`, idleSubscribers));
  const before = residentKiB(pid);
  const subscriptions = await subscribe(client, `bench-idle-${newUuid()}`, idleSubscribers);
  const after = residentKiB(pid);
  await leave(subscriptions);
  return (after - before) / idleSubscribers;
};

/** Prints latency and rates at 1, 10 and 100 subscribers, and the memory of one that is idle. */
export const benchSubscriptions = async (
  addresses: { eventStoreUrl: string; pids(): { eventStore: number | undefined } },
  durationMs: number,
): Promise<void> => {
  heading('Event store: live subscriptions through @eventstore/db-client, one process of subscribers');
  const client = EventStoreDBClient.connectionString(addresses.eventStoreUrl);
  const warmUp = client.subscribeToStream(`bench-warm-${newUuid()}`, { fromRevision: END });
  await once(warmUp, 'caughtUp');
  await warmUp.unsubscribe();
  await delivery(client, 1, durationMs / 2);
  for (const count of [1, 10, 100]) {
    const { acknowledged, delivered } = await delivery(client, count, durationMs);
    row(`append called → acknowledged, ${count} subscribers`, acknowledged);
    row(`append called → at all of ${count} subscribers`, delivered);
    rateRow(`events to each of ${count} subscribers`, await throughput(client, count, durationMs));
  }
  const pid = addresses.pids().eventStore;
  if (pid !== undefined && process.platform === 'linux')
    figureRow(
      `memory of one idle subscriber of ${idleSubscribers}, in the store`,
      await idleMemory(client, pid),
      'KiB',
    );
  await client.dispose();
};
