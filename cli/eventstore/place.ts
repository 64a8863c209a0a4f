/** Where the embedded event store is that a command works on. Called by backup.ts and restore.ts. */
import { readConfig, type ServerConfig, serverSettings } from '../../platform/config.ts';
import { MusterError } from '../../platform/errors.ts';

/** The configuration, unless it names an EventStoreDB of somebody else. Throws `config-invalid` as `readConfig` does. */
export const embeddedConfig = (options: { dataDir?: string }): ServerConfig => {
  const config = readConfig(serverSettings, { dataDir: options.dataDir });
  if (config.eventStoreUrl === undefined) return config;
  throw new MusterError(
    'config-invalid',
    'EVENTSTORE_URL names a server with backups of its own; unset it to work on the embedded event store.',
  );
};
