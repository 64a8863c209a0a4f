/**
 * `muster eventstore`: the embedded event store alone, for any EventStoreDB client; the verification of its log; its
 * users.
 */
import { Command } from 'commander';
import { type ServedEventStore, serveEventStore, verifyEventStore } from '../embedded/main.ts';
import { eventStoreSettings, readConfig, serverSettings } from '../platform/config.ts';
import { MusterError } from '../platform/errors.ts';
import { openLog } from '../platform/log.ts';
import { userCommand } from './eventstore-user.ts';
import { announceEventStore, findRunningDatabase } from './running.ts';
import { stopSignal } from './signals.ts';

interface ServeOptions {
  readonly dataDir?: string;
  readonly port: string;
  readonly host?: string;
  readonly advertiseHost?: string;
  readonly tls?: true;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
}

/** How to serve, from options and environment; TLS when asked for, or when a certificate is given. */
const readServeConfig = (options: ServeOptions) => {
  const { dataDir, databaseUrl, eventStorePort, diskReserveMib, logLevel } = readConfig(serverSettings, {
    dataDir: options.dataDir,
    eventStorePort: options.port,
  });
  const { host, advertisedHost, tls, tlsCertificateFile, tlsKeyFile } = readConfig(eventStoreSettings, {
    host: options.host,
    advertisedHost: options.advertiseHost,
    tls: options.tls && 'true',
    tlsCertificateFile: options.tlsCert,
    tlsKeyFile: options.tlsKey,
  });
  const files = {
    certificate: { file: tlsCertificateFile, variable: 'MUSTER_EVENTSTORE_TLS_CERT' },
    key: { file: tlsKeyFile, variable: 'MUSTER_EVENTSTORE_TLS_KEY' },
  };
  const isSecure = tls || tlsCertificateFile !== undefined || tlsKeyFile !== undefined;
  return {
    logLevel,
    store: {
      host,
      port: eventStorePort,
      dataDir,
      databaseUrl,
      diskReserveMib,
      tls: isSecure ? { files, advertisedHost } : undefined,
    },
  };
};

const greet = (store: ServedEventStore, isSecure: boolean): void => {
  const password = store.administratorPassword;
  if (password !== undefined)
    process.stdout.write(
      `First start over TLS: connect as user admin with the password\n\n    ${password}\n\nIt is shown this once; \`muster eventstore user password admin\` makes another.\n\n`,
    );
  const shown = isSecure ? store.connectionString.replace('://', '://admin:…@') : store.connectionString;
  process.stdout.write(`Event store ${shown}\n`);
};

const serve = async (options: ServeOptions): Promise<void> => {
  const config = readServeConfig(options);
  const log = openLog({ level: config.logLevel, name: 'eventstore' });
  const stopped = stopSignal();
  const store = await serveEventStore(config.store, { log });
  const { dataDir } = config.store;
  const withdraw = announceEventStore(dataDir, { pid: process.pid, databaseUrl: store.databaseUrl });
  greet(store, config.store.tls !== undefined);
  const reason = await Promise.race([stopped, store.failed]);
  withdraw();
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
    { dataDir, databaseUrl, runningUrl: findRunningDatabase(dataDir) },
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
    .description('Serve the embedded event store alone, over EventStoreDB’s own gRPC protocol.')
    .option('--port <number>', 'TCP port; 0 takes a free one', '2113')
    .option(
      '--data-dir <folder>',
      'where its PostgreSQL lives (MUSTER_DATA_DIR); DATABASE_URL uses yours instead',
    )
    .option(
      '--host <address>',
      'address to listen on; beyond loopback with --tls only (MUSTER_EVENTSTORE_HOST)',
    )
    .option(
      '--advertise-host <address>',
      'address that clients reach it under (MUSTER_EVENTSTORE_ADVERTISE_HOST)',
    )
    .option('--tls', 'serve over TLS, to users with passwords (MUSTER_EVENTSTORE_TLS)')
    .option('--tls-cert <file>', 'certificate chain of your own, PEM (MUSTER_EVENTSTORE_TLS_CERT)')
    .option('--tls-key <file>', 'its private key, PEM (MUSTER_EVENTSTORE_TLS_KEY)')
    .action(serve)
    .addCommand(userCommand())
    .addCommand(
      new Command('verify')
        .configureHelp({ showGlobalOptions: true })
        .description(
          'Re-read the whole log, beside a running server or without one: checksums, numbering, damaged pages.',
        )
        .action((_options, command: Command) => verify(command.optsWithGlobals())),
    );
