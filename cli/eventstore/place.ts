/**
 * What the commands on the embedded event log share: where the log is, and how they tell of their progress.
 * Called by the commands beside it.
 */
import type { LogPlace } from '../../embedded/log-database.ts';
import { readConfig, serverSettings } from '../../platform/config.ts';
import { MusterError } from '../../platform/errors.ts';
import { type Logger, openLog } from '../../platform/log.ts';
import { findRunning } from '../running.ts';

/** The log that the settings name. Throws `config-invalid` when they name a server of another kind. */
export const readPlace = (options: { dataDir?: string }): { place: LogPlace; log: Logger } => {
  const config = readConfig(serverSettings, { dataDir: options.dataDir });
  if (config.eventStoreUrl !== undefined) {
    throw new MusterError(
      'config-invalid',
      'EVENTSTORE_URL names a server that looks after its own log; unset it to work on the embedded one.',
    );
  }
  const { dataDir, databaseUrl } = config;
  return {
    place: { dataDir, databaseUrl, running: findRunning(dataDir) },
    log: openLog({ level: config.logLevel, name: 'eventstore' }),
  };
};

/** A line on standard error that writes over itself, on a terminal only and at most once a second. */
export const openProgressLine = (): { show(text: string): void; end(): void } => {
  let shownAt = Date.now();
  return {
    show: (text) => {
      if (!process.stderr.isTTY || Date.now() - shownAt < 1_000) return;
      shownAt = Date.now();
      process.stderr.write(`\r${text}`);
    },
    end: () => {
      if (process.stderr.isTTY) process.stderr.write('\n');
    },
  };
};

/** `1 fault`, `2 faults`. */
export const counted = (count: number, one: string): string => `${count} ${one}${count === 1 ? '' : 's'}`;
