/**
 * Whether a long log costs more than a short one: appends, and reads from its middle, at growing sizes of one log.
 * Called by main.ts.
 */
import { readAll, readStream } from '../../embedded/event-store/reader.ts';
import { closedLoop, type Measured } from '../measure.ts';
import { figureRow, heading, row } from '../report.ts';
import { append, openStoreAlone, type StoreAlone } from './alone.ts';

const streams = 10_000;
const chunk = 100;
const pageSize = 100;

/** Appends chunks to ever the same streams until the log holds `size` events. */
const growTo = async (store: StoreAlone, size: number): Promise<void> => {
  let left = Math.ceil((size - Number(store.recent.last())) / chunk);
  let next = 0;
  const loop = async (): Promise<void> => {
    while (left > 0) {
      left -= 1;
      next += 1;
      await append(store, `bench-grown_${next % streams}`, 'any', chunk);
      if (process.stderr.isTTY && next % 500 === 0)
        process.stderr.write(`\r${store.recent.last()} of ${size} `);
    }
  };
  await Promise.all(Array.from({ length: 16 }, loop));
  if (process.stderr.isTTY) process.stderr.write('\r');
  await store.sql`vacuum analyze event_store.events`;
  await store.sql`checkpoint`;
};

/** Different places around the middle, so that no read finds just what the one before it left in memory. */
const somewhere = (around: number, spread: number, round: number): number =>
  Math.floor(around * (1 - spread / 2) + (((round * 7_919) % 1_000) / 1_000) * around * spread);

const drain = async (pages: AsyncGenerator<readonly unknown[]>): Promise<void> => {
  for await (const _ of pages);
};

const readLog = ({ sql }: StoreAlone, size: number, durationMs: number): Promise<Measured> =>
  closedLoop(1, durationMs, (_caller, round) =>
    drain(
      readAll(sql, { from: BigInt(somewhere(size / 2, 0.5, round)), backwards: false, maxCount: pageSize }),
    ),
  );

const readStreams = ({ sql, cache }: StoreAlone, size: number, durationMs: number): Promise<Measured> => {
  const used = Math.min(streams, size / chunk);
  return closedLoop(1, durationMs, async (_caller, round) => {
    const stream = `bench-grown_${1 + (somewhere(used / 2, 1, round) % (used - 1))}`;
    const middle = BigInt(Math.floor(size / used / 2));
    const pages = await readStream(sql, cache, {
      stream,
      from: middle,
      backwards: false,
      maxCount: pageSize,
    });
    if (typeof pages === 'string') throw new Error(`${stream}: ${pages}`);
    await drain(pages);
  });
};

/** Prints what appends and reads cost at 10,000 events, 1 million and `events`, as ratios to the shortest log. */
export const benchGrowth = async (
  addresses: { databaseUrl: string },
  durationMs: number,
  events: number,
): Promise<void> => {
  const store = await openStoreAlone(addresses.databaseUrl);
  const sizes = [10_000, 1_000_000, events].filter(
    (size, at, all) => size <= events && all.indexOf(size) === at,
  );
  const first: { [figure: string]: Measured } = {};
  for (const size of sizes) {
    await growTo(store, size);
    heading(`Event store: a log of ${size} events, the store alone`);
    const figures = {
      'append, 32 callers': await closedLoop(32, durationMs, (caller) =>
        append(store, `bench-grown_${caller + 1}`, 'any'),
      ),
      [`${pageSize} events from the middle of the log`]: await readLog(store, size, durationMs),
      [`up to ${pageSize} events from the middle of a stream`]: await readStreams(store, size, durationMs),
    };
    for (const [figure, measured] of Object.entries(figures)) {
      first[figure] ??= measured;
      row(figure, measured, { name: `at ${sizes[0]}`, measured: first[figure] });
    }
    const [disk] = await store.sql<{ bytes: string }[]>`
      select (pg_total_relation_size('event_store.events') + pg_total_relation_size('event_store.streams'))::text as bytes`;
    figureRow(
      'disk space an event, indexes included',
      Number(disk?.bytes) / Number(store.recent.last()),
      'bytes',
    );
  }
  await store.close();
};
