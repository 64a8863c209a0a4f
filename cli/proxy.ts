/**
 * `muster proxy`: the EAS proxy, a process of its own that reaches the server over HTTP alone.
 */
import { Command } from 'commander';
import { type ProxySettings, proxySettings, readConfig } from '../platform/config.ts';
import { MusterError } from '../platform/errors.ts';
import { openLog } from '../platform/log.ts';
import { type ProxyConfig, parseProxyConfig } from '../proxy/config.ts';
import * as proxy from '../proxy/main.ts';
import { stopSignal } from './signals.ts';

interface Options {
  readonly backend?: string;
  readonly server?: string;
  readonly host?: string;
  readonly port?: string;
  readonly state?: string;
}

/** What a proxy cannot do without, by the variable that names it. */
const required = ['backendUrl', 'serverUrl'] as const;

/** The proxy's own configuration from the settings; reports every missing one together. */
const configOf = (settings: ProxySettings): ProxyConfig => {
  const missing = required
    .filter((key) => settings[key] === undefined)
    .map((key) => `${proxySettings[key].env}: is required`);
  const { tlsCertificateFile: certFile, tlsKeyFile: keyFile, logLevel: _, ...rest } = settings;
  if ((certFile === undefined) !== (keyFile === undefined)) {
    missing.push(
      `${proxySettings.tlsCertificateFile.env} and ${proxySettings.tlsKeyFile.env}: are needed together`,
    );
  }
  if (missing.length > 0) throw new MusterError('config-invalid', missing.join('\n'));
  const tls = certFile === undefined ? undefined : { certFile, keyFile };
  const publicUrl = rest.publicUrl ?? `${tls ? 'https' : 'http'}://${rest.listenHost}:${rest.listenPort}`;
  return parseProxyConfig({ ...rest, tls, publicUrl });
};

const serve = async (options: Options): Promise<void> => {
  const settings = readConfig(proxySettings, {
    backendUrl: options.backend,
    serverUrl: options.server,
    listenHost: options.host,
    listenPort: options.port,
    stateDir: options.state,
  });
  const config = configOf(settings);
  const log = openLog({ level: settings.logLevel, name: 'proxy' });
  const stopped = stopSignal();
  const running = await proxy.start(config, { log });
  const health =
    running.adminPort === null ? '' : ` (health at http://${config.adminHost}:${running.adminPort}/healthz)`;
  process.stdout.write(
    `EAS proxy listens on ${config.tls ? 'https' : 'http'}://${config.listenHost}:${running.port}${health}\n`,
  );
  await stopped;
  await running.stop();
};

/** The subcommand, for muster.ts. */
export const proxyCommand = (): Command =>
  new Command('proxy')
    .description('Start the EAS proxy: only known, compliant devices reach the mail server behind it.')
    .option('--backend <url>', 'address of the mail server (MUSTER_PROXY_BACKEND)')
    .option('--server <url>', 'address of the Muster server (MUSTER_PROXY_SERVER)')
    .option('--host <address>', 'address to listen on (MUSTER_PROXY_HOST)')
    .option('--port <number>', 'port to listen on (MUSTER_PROXY_PORT)')
    .option('--state <folder>', 'where identity and mail verdicts are kept (MUSTER_PROXY_STATE)')
    .action(serve);
