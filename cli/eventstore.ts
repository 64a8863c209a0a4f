/**
 * `muster eventstore`: the embedded event store alone, for any EventStoreDB client; and the verification of its log.
 */
import { Command } from 'commander';
import { serveEventStore, verifyEventStore } from '../embedded/main.ts';
import { readConfig, serverSettings } from '../platform/config.ts';
import { MusterError } from '../platform/errors.ts';
import { openLog } from '../platform/log.ts';
import { backupCommand, inspectCommand } from './eventstore/backup.ts';
import { restoreCommand } from './eventstore/restore.ts';
import { findRunning } from './running.ts';
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
  process.stdout.write(`Event store ${store.connectionString}\n`);
  const reason = await Promise.race([stopped, store.failed]);
  await store.stop();
  if (reason instanceof Error) throw reason;
};

/** Shows how far the reading has come, on a terminal only and at most once a second. */
const showProgress = () => {
  let shownAt = Date.now();
  return (read: number, position: bigint, last: bigint): void => {
    if (!process.stderr.isTTY || Date.now() - shownAt < 1_000) return;
    shownAt = Date.now();
    process.stderr.write(`\r${read} events read, position ${position} of ${last}`);
  };
};

const verify = async (options: { dataDir?: string }): Promise<void> => {
  const config = readConfig(serverSettings, { dataDir: options.dataDir });
  if (config.eventStoreUrl !== undefined) {
    throw new MusterError(
      'config-invalid',
      'EVENTSTORE_URL names a server that verifies its own log; unset it to verify the embedded one.',
    );
  }
  const { dataDir, databaseUrl } = config;
  const found = await verifyEventStore(
    { dataDir, databaseUrl, runningUrl: findRunning(dataDir)?.databaseUrl },
    { log: openLog({ level: config.logLevel, name: 'eventstore' }) },
    showProgress(),
  );
  if (process.stderr.isTTY) process.stderr.write('\n');
  for (const { position, stream, revision, problem } of found.findings) {
    const where = stream === undefined ? '' : ` (${stream}@${revision})`;
    process.stdout.write(`position ${position}${where}: ${problem}\n`);
  }
  const read = `${found.events} events, ${found.sizeBytes} bytes, up to position ${found.lastPosition}`;
  if (found.faults > 0) throw new MusterError('log-damaged', `${found.faults} faults in ${read}.`);
  process.stdout.write(`The event log is whole: ${read}.\n`);
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
    .addCommand(backupCommand())
    .addCommand(inspectCommand())
    .addCommand(restoreCommand())
    .addCommand(
      new Command('verify')
        .configureHelp({ showGlobalOptions: true })
        .description(
          'Re-read the whole log, beside a running server or without one: checksums, numbering, damaged pages.',
        )
        .action((_options, command: Command) => verify(command.optsWithGlobals())),
    );
