/**
 * `muster serve`: the server with all its parts, until it is told to stop.
 */
import { Command } from 'commander';
import { readConfig, serverSettings } from '../platform/config.ts';
import { openLog } from '../platform/log.ts';
import { startServer } from './server.ts';
import { stopSignal } from './signals.ts';

interface Options {
  readonly dataDir?: string;
  readonly host?: string;
  readonly port?: string;
  readonly proxyConfig?: string;
}

const serve = async ({ proxyConfig: internalProxyConfigFile, ...options }: Options): Promise<void> => {
  const config = readConfig(serverSettings, { ...options, internalProxyConfigFile });
  const log = openLog({ level: config.logLevel, name: 'serve' });
  const stopped = stopSignal();
  const server = await startServer(config, log);
  const { operator } = server;
  if (operator.password !== undefined) {
    process.stdout.write(
      `First start: sign in to tenant "${operator.tenantSlug}" as ${operator.email} with the one-time password\n\n    ${operator.password}\n\nIt is shown this once and must be changed at the first sign-in.\n\n`,
    );
  }
  process.stdout.write(`Muster serves ${server.url} (GraphQL at ${server.url}/graphql)\n`);
  for (const { name, port } of server.internalProxy?.instances ?? [])
    process.stdout.write(`EAS proxy "${name}" inside it listens on port ${port}\n`);
  const reload = () => void server.internalProxy?.reload();
  if (server.internalProxy) process.on('SIGHUP', reload);
  const reason = await Promise.race([stopped, server.failed]);
  process.off('SIGHUP', reload);
  log.info({ reason: String(reason) }, 'stopping');
  await server.stop();
  if (reason instanceof Error) throw reason;
};

/** The subcommand, for muster.ts. */
export const serveCommand = (): Command =>
  new Command('serve')
    .description(
      'Start the server: API, projections and workers, on embedded defaults unless URLs are configured.',
    )
    .option('--data-dir <folder>', 'where the embedded database lives (MUSTER_DATA_DIR)')
    .option('--host <address>', 'address to listen on (MUSTER_HOST)')
    .option('--port <number>', 'port to listen on (MUSTER_PORT)')
    .option('--proxy-config <file>', 'run an EAS proxy inside the server (MUSTER_INTERNAL_PROXY_CONFIG)')
    .action(serve);
