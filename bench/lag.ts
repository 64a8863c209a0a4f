/**
 * How long after the server decided a check-in its read models show it, at half of the highest rate of check-ins and at
 * that rate. Called by check-in.ts.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { RunningMuster } from '../cli/running.ts';
import type { SimulatedDevice } from '../cli/simulated-device.ts';
import { categories } from '../domain/events.ts';
import { openEventStore } from '../platform/event-store.ts';
import { openLog } from '../platform/log.ts';
import { openSql } from '../platform/sql.ts';
import { openProjectionWaiter } from '../projections/await.ts';
import { summarise } from './measure.ts';
import { heading } from './report.ts';

interface Decided {
  readonly position: bigint;
  readonly atMs: number;
}

/** Follows the log and the projector's notices; answers the lag of every event, in ms since its decision. */
const observe = async (running: RunningMuster) => {
  const sql = openSql(running.databaseUrl, { max: 2 });
  const store = openEventStore(running.eventStoreUrl);
  const waiter = await openProjectionWaiter({
    databaseUrl: running.databaseUrl,
    sql,
    log: openLog({ level: 'silent', name: 'bench' }),
  });
  const notices: { position: bigint; atMs: number }[] = [];
  const decided: Decided[] = [];
  const stopNotices = waiter.onAdvance((position) => notices.push({ position, atMs: Date.now() }));
  const abort = new AbortController();
  const following = (async () => {
    for await (const batch of store.follow({
      afterPosition: await store.lastPosition(),
      categories,
      signal: abort.signal,
    })) {
      for (const event of batch.events)
        decided.push({ position: event.position, atMs: Date.parse(event.at) });
    }
  })();
  return {
    async finish(): Promise<number[]> {
      await waiter.reached(await store.lastPosition(), 60_000);
      abort.abort();
      await following;
      stopNotices();
      await waiter.close();
      await store.close();
      await sql.end();
      let index = 0;
      const lags: number[] = [];
      for (const event of decided) {
        while (index < notices.length && (notices[index] as Decided).position < event.position) index += 1;
        const notice = notices[index];
        if (notice) lags.push(notice.atMs - event.atMs);
      }
      return lags;
    },
  };
};

/** Check-ins at a fixed rate, whoever is free next. */
const paced = async (
  devices: readonly SimulatedDevice[],
  perSecond: number,
  durationMs: number,
): Promise<void> => {
  const startedAt = performance.now();
  const loop = async (device: SimulatedDevice, offset: number) => {
    const everyMs = (devices.length * 1000) / perSecond;
    for (let turn = 0; ; turn += 1) {
      const dueMs = (turn + offset / devices.length) * everyMs;
      if (dueMs > durationMs) return;
      await delay(Math.max(0, startedAt + dueMs - performance.now()));
      await device.checkIn({ batteryPercent: turn % 100 });
    }
  };
  await Promise.all(devices.map(loop));
};

/** Prints the lag at `halfRate` check-ins per second and at twice that. */
export const benchLag = async (
  devices: readonly SimulatedDevice[],
  running: RunningMuster,
  halfRate: number,
  durationMs: number,
): Promise<void> => {
  heading('Projection lag: from the decision of an event until every read model shows it');
  for (const [label, perSecond] of [
    ['half of the rate above', halfRate],
    ['the rate above', halfRate * 2],
  ] as const) {
    const observing = await observe(running);
    await paced(devices, perSecond, durationMs);
    const { p50Ms, p99Ms } = summarise(await observing.finish(), durationMs);
    console.log(
      `  ${label.padEnd(52)}${perSecond.toFixed(0).padStart(8)}/s  p50 ${p50Ms.toFixed(0)} ms  p99 ${p99Ms.toFixed(0)} ms`,
    );
  }
};
