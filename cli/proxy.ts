/**
 * `muster proxy`: the EAS proxy, a process of its own that reaches the server over HTTP alone.
 */
import { Command } from 'commander';
import { proxySettings, readConfig } from '../platform/config.ts';
import { openLog } from '../platform/log.ts';
import * as proxy from '../proxy/main.ts';
import { stopSignal } from './signals.ts';

interface Options {
  readonly backend?: string;
  readonly server?: string;
  readonly token?: string;
  readonly host?: string;
  readonly port?: string;
  readonly state?: string;
}

const serve = async (options: Options): Promise<void> => {
  const settings = readConfig(proxySettings, {
    backendUrl: options.backend,
    serverUrl: options.server,
    serverToken: options.token,
    listenHost: options.host,
    listenPort: options.port,
    stateFile: options.state,
  });
  const log = openLog({ level: settings.logLevel, name: 'proxy' });
  const stopped = stopSignal();
  const running = await proxy.start(settings, { log });
  process.stdout.write(`EAS proxy ${running.url}\n`);
  await stopped;
  await running.stop();
};

/** The subcommand, for muster.ts. */
export const proxyCommand = (): Command =>
  new Command('proxy')
    .description('Start the EAS proxy: only known, compliant devices reach the mail server behind it.')
    .option('--backend <url>', 'address of the mail server (MUSTER_PROXY_BACKEND)')
    .option('--server <url>', 'address of the Muster server (MUSTER_PROXY_SERVER)')
    .option('--token <token>', 'credential from registerProxy (better: MUSTER_PROXY_TOKEN)')
    .option('--host <address>', 'address to listen on (MUSTER_PROXY_HOST)')
    .option('--port <number>', 'port to listen on (MUSTER_PROXY_PORT)')
    .option('--state <file>', 'where mail verdicts are kept (MUSTER_PROXY_STATE)')
    .action(serve);
