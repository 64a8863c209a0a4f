/**
 * What a backup and a restore cost: events a second and bytes an event, and what a backup takes from a server that goes
 * on serving. Called by main.ts.
 */
import { createWriteStream, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openSource } from '../../embedded/event-store/backup/file.ts';
import { restoreLog } from '../../embedded/event-store/backup/restore.ts';
import { takeBackup } from '../../embedded/event-store/backup/take.ts';
import { ensureDatabase } from '../../embedded/postgres.ts';
import { closedLoop } from '../measure.ts';
import { figureRow, heading, rateRow, row } from '../report.ts';
import { append, openStoreAlone } from './alone.ts';

const streams = 10_000;
const chunk = 100;
const writers = 32;

/** Seconds that `work` took. */
const timed = async (work: () => Promise<unknown>): Promise<number> => {
  const startedAt = performance.now();
  await work();
  return (performance.now() - startedAt) / 1000;
};

/** Prints the figures for a log of `events` events of about 400 bytes of payload. */
export const benchBackup = async (
  addresses: { databaseUrl: string },
  durationMs: number,
  events: number,
): Promise<void> => {
  const folder = mkdtempSync(join(tmpdir(), 'muster-bench-'));
  const file = join(folder, 'log.backup');
  const store = await openStoreAlone(addresses.databaseUrl);
  const take = () => takeBackup(store.databaseUrl, createWriteStream(file));
  try {
    for (let n = 0; n < events / chunk; n += 16) {
      await Promise.all(
        Array.from({ length: 16 }, (_, at) =>
          append(store, `bench-backup_${(n + at) % streams}`, 'any', chunk),
        ),
      );
    }
    heading(`Event store: backup and restore of ${events} events`);
    const write = () =>
      closedLoop(writers, durationMs, (caller) => append(store, `bench-live_${caller}`, 'any'));
    const alone = await write();
    rateRow('backup, nobody writes', events / (await timed(take)));
    figureRow('file, per event', statSync(file).size / events, 'bytes');
    const [beside] = await Promise.all([write(), take()]);
    row(`append, ${writers} callers`, alone);
    row(`append, ${writers} callers, beside a backup`, beside, { name: 'alone', measured: alone });
    const target = await ensureDatabase(addresses.databaseUrl, 'bench_restored');
    const readers = { admit: async () => {}, prepare: async () => {} };
    const restore = () => restoreLog(target, [() => openSource(file)], { replace: false, readers });
    rateRow('restore, verified', events / (await timed(restore)));
  } finally {
    await store.close();
    rmSync(folder, { recursive: true, force: true });
  }
};
