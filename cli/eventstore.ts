/**
 * `muster eventstore`: the embedded event store alone, for any EventStoreDB client; and the commands on its log.
 */
import { Command } from 'commander';
import { serveEventStore } from '../embedded/main.ts';
import { readConfig, serverSettings } from '../platform/config.ts';
import { openLog } from '../platform/log.ts';
import { backupCommand, inspectCommand } from './eventstore/backup.ts';
import { restoreCommand } from './eventstore/restore.ts';
import { scavengeCommand } from './eventstore/scavenge.ts';
import { verifyCommand } from './eventstore/verify.ts';
import { announce, findRunning, withdraw } from './running.ts';
import { stopSignal } from './signals.ts';

const serve = async (options: { dataDir?: string; port: string }): Promise<void> => {
  const config = readConfig(serverSettings, { dataDir: options.dataDir, eventStorePort: options.port });
  const log = openLog({ level: config.logLevel, name: 'eventstore' });
  const stopped = stopSignal();
  const { dataDir, databaseUrl, eventStorePort, diskReserveMib } = config;
  const store = await serveEventStore(
    { port: eventStorePort, dataDir, databaseUrl, diskReserveMib },
    { log },
  );
  // A server of another database may be at home in the folder; its announcement stays.
  const isHome = findRunning(dataDir) === undefined;
  if (isHome) {
    announce(dataDir, {
      pid: process.pid,
      url: store.connectionString,
      eventStoreUrl: store.connectionString,
      eventStoreDatabaseUrl: store.databaseUrl,
    });
  }
  process.stdout.write(`Event store ${store.connectionString}\n`);
  const reason = await Promise.race([stopped, store.failed]);
  if (isHome) withdraw(dataDir);
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
    .action(serve)
    .addCommand(verifyCommand())
    .addCommand(scavengeCommand())
    .addCommand(backupCommand())
    .addCommand(inspectCommand())
    .addCommand(restoreCommand());
