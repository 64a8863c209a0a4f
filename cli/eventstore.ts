/**
 * `muster eventstore`: the embedded event store alone, for any EventStoreDB client.
 */
import { Command } from 'commander';
import { serveEventStore } from '../embedded/main.ts';
import { readConfig, serverSettings } from '../platform/config.ts';
import { openLog } from '../platform/log.ts';
import { stopSignal } from './signals.ts';

const serve = async (options: { dataDir?: string; port: string }): Promise<void> => {
  const config = readConfig(serverSettings, { dataDir: options.dataDir, eventStorePort: options.port });
  const log = openLog({ level: config.logLevel, name: 'eventstore' });
  const stopped = stopSignal();
  const { dataDir, databaseUrl, eventStorePort } = config;
  const store = await serveEventStore({ port: eventStorePort, dataDir, databaseUrl }, { log });
  process.stdout.write(`Event store ${store.connectionString}\n`);
  const reason = await Promise.race([stopped, store.failed]);
  await store.stop();
  if (reason instanceof Error) throw reason;
};

/** The subcommand, for muster.ts. */
export const eventstoreCommand = (): Command =>
  new Command('eventstore')
    .description('Serve the embedded event store alone, on loopback, over EventStoreDB’s own gRPC protocol.')
    .option('--port <number>', 'TCP port; 0 takes a free one', '2113')
    .option(
      '--data-dir <folder>',
      'where its PostgreSQL lives (MUSTER_DATA_DIR); DATABASE_URL uses yours instead',
    )
    .action(serve);
