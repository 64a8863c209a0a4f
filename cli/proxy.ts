/**
 * `muster proxy`: the EAS proxy, a process of its own that reaches the server over HTTP alone.
 */
import { Command } from 'commander';
import { systemClock } from '../platform/clock.ts';
import { type ProxySettings, proxySettings, readConfig } from '../platform/config.ts';
import { MusterError } from '../platform/errors.ts';
import { openLog } from '../platform/log.ts';
import { type ProxyConfig, parseProxyConfig } from '../proxy/config.ts';
import { type Explanation, explain } from '../proxy/explain.ts';
import * as proxy from '../proxy/main.ts';
import { loadVerdicts, sourceOf } from '../proxy/state-file.ts';
import { stopSignal } from './signals.ts';

interface Options {
  readonly backend?: string;
  readonly server?: string;
  readonly token?: string;
  readonly host?: string;
  readonly port?: string;
  readonly state?: string;
}

/** What a proxy cannot do without, by the variable that names it. */
const required = ['backendUrl', 'serverUrl', 'serverToken'] as const;

/** The proxy's own configuration from the settings; reports every missing one together. */
const configOf = (settings: ProxySettings): ProxyConfig => {
  const missing = required
    .filter((key) => settings[key] === undefined)
    .map((key) => `${proxySettings[key].env}: is required`);
  const { tlsCertificateFile: certFile, tlsKeyFile: keyFile, logLevel: _, ...others } = settings;
  const { logFile, logFormat: format, logRetentionDays: retentionDays, logMaxTotalMb, ...rest } = others;
  if ((certFile === undefined) !== (keyFile === undefined)) {
    missing.push(
      `${proxySettings.tlsCertificateFile.env} and ${proxySettings.tlsKeyFile.env}: are needed together`,
    );
  }
  if (missing.length > 0) throw new MusterError('config-invalid', missing.join('\n'));
  const tls = certFile === undefined ? undefined : { certFile, keyFile };
  const publicUrl = rest.publicUrl ?? `${tls ? 'https' : 'http'}://${rest.listenHost}:${rest.listenPort}`;
  const log = {
    ...(logFile === undefined ? {} : { file: logFile }),
    format,
    retentionDays,
    maxTotalMb: logMaxTotalMb,
  };
  return parseProxyConfig({ ...rest, tls, publicUrl, log });
};

const overridesOf = (options: Options) => ({
  backendUrl: options.backend,
  serverUrl: options.server,
  serverToken: options.token,
  listenHost: options.host,
  listenPort: options.port,
  stateFile: options.state,
});

const serve = async (options: Options): Promise<void> => {
  const settings = readConfig(proxySettings, overridesOf(options));
  const config = configOf(settings);
  const log = openLog({ level: settings.logLevel, name: 'proxy' });
  const stopped = stopSignal();
  const running = await proxy.start(config, { log });
  const health =
    running.adminPort === null ? '' : ` (health at http://${config.adminHost}:${running.adminPort}/healthz)`;
  process.stdout.write(
    `EAS proxy listens on ${config.tls ? 'https' : 'http'}://${config.listenHost}:${running.port}${health}\n`,
  );
  process.on('SIGHUP', running.reopenLog);
  await stopped;
  await running.stop();
};

interface ExplainOptions {
  readonly deviceId: string;
  readonly user: string;
  readonly instance?: string;
  readonly command?: string;
  readonly userAgent?: string;
  readonly json?: true;
}

/** What the running proxy says, asked on its admin listener. */
const askRunning = async (
  config: ProxyConfig,
  { deviceId, user, instance, command, userAgent }: ExplainOptions,
): Promise<Explanation> => {
  const given = Object.entries({ deviceId, user, instance, command, userAgent });
  const query = new URLSearchParams(
    given.flatMap(([key, value]) => (value === undefined ? [] : [[key, value]])),
  );
  const host = config.adminHost.includes(':') ? `[${config.adminHost}]` : config.adminHost;
  const response = await fetch(`http://${host}:${config.adminPort}/explain?${query}`);
  const body = (await response.json()) as Explanation & { readonly error?: string };
  if (!response.ok) throw new MusterError('invalid-input', body.error ?? '', { field: 'instance' });
  return body;
};

/** What a proxy that starts now would say, from the verdicts on disk. */
const readState = async (config: ProxyConfig, input: ExplainOptions): Promise<Explanation> => {
  const log = openLog({ level: 'error', name: 'proxy' });
  const source = sourceOf(config.serverUrl, config.serverToken);
  const known = await loadVerdicts(config.stateFile, source, log, systemClock);
  return explain({ config, known, clock: systemClock }, input);
};

const mark = (allow: boolean | null): string => (allow === null ? '  -  ' : allow ? 'allow' : 'DENY ');

const explainCommand = (): Command =>
  new Command('explain')
    .description('Say which rule decides for a device and a user, and why. Asks the running proxy if it can.')
    .requiredOption('--device-id <id>', 'EAS id of the device')
    .requiredOption('--user <name>', 'user as the phone signs in')
    .option('--instance <name>', 'instance of the running proxy')
    .option('--command <name>', 'ActiveSync command (default: Sync)')
    .option('--user-agent <text>', 'user agent of the mail app')
    .option('--json', 'print JSON')
    .action(async (options: ExplainOptions) => {
      const config = configOf(readConfig(proxySettings, {}));
      const isAsked = config.adminPort !== 0;
      const said = isAsked ? await askRunning(config, options) : await readState(config, options);
      if (options.json) return void process.stdout.write(`${JSON.stringify(said)}\n`);
      const lines = said.opinions.map(
        ({ rule, allow, reason }) => `  ${mark(allow)}  ${rule.padEnd(12)}${reason ?? ''}`,
      );
      process.stdout.write(
        `${said.allow ? 'allowed' : 'refused'} by ${said.rule}: ${said.reason}\n` +
          `(${isAsked ? 'the running proxy says so' : 'from the verdicts on disk; set MUSTER_PROXY_ADMIN_PORT to ask the running proxy'})\n` +
          `${lines.join('\n')}\n`,
      );
    });

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
    .action(serve)
    .addCommand(explainCommand());
