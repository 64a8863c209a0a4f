/**
 * Where the log is that the commands on the embedded event log work on. Called by the commands beside it.
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
