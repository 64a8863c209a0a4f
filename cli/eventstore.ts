/**
 * `muster eventstore`: the embedded event store alone, for any EventStoreDB client; the commands on its log; its users.
 */
import { Command } from 'commander';
import { type ServedEventStore, serveEventStore } from '../embedded/main.ts';
import { eventStoreSettings, readConfig, serverSettings } from '../platform/config.ts';
import { openLog } from '../platform/log.ts';
import { backupCommand, inspectCommand } from './eventstore/backup.ts';
import { restoreCommand } from './eventstore/restore.ts';
import { scavengeCommand } from './eventstore/scavenge.ts';
import { userCommand } from './eventstore/user.ts';
import { verifyCommand } from './eventstore/verify.ts';
import { announce, findRunning, withdraw } from './running.ts';
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
  greet(store, config.store.tls !== undefined);
  const reason = await Promise.race([stopped, store.failed]);
  if (isHome) withdraw(dataDir);
  await store.stop();
  if (reason instanceof Error) throw reason;
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
    .addCommand(verifyCommand())
    .addCommand(scavengeCommand())
    .addCommand(backupCommand())
    .addCommand(inspectCommand())
    .addCommand(restoreCommand())
    .addCommand(userCommand());
