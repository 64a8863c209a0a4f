/**
 * `muster proxy`: the EAS proxy, a process of its own that reaches the server over HTTPS alone.
 */
import { Command } from 'commander';
import { Agent, request } from 'undici';
import { systemClock } from '../platform/clock.ts';
import { proxySettings, readConfig } from '../platform/config.ts';
import { MusterError } from '../platform/errors.ts';
import { openLog } from '../platform/log.ts';
import { readNamed } from '../proxy/certificate.ts';
import { openClientCertificates } from '../proxy/client-certificates.ts';
import type { InstanceConfig, ProxyConfig } from '../proxy/config.ts';
import { permissionAdvice, readProxyConfig } from '../proxy/config-file.ts';
import { type Explanation, explain } from '../proxy/explain.ts';
import { instanceDir, stateFileOf } from '../proxy/instance.ts';
import * as proxy from '../proxy/main.ts';
import { openServerKey } from '../proxy/server-key.ts';
import { loadVerdicts } from '../proxy/state-file.ts';
import { checkCommand } from './proxy/check.ts';
import { exportCommand } from './proxy/export.ts';
import { initCommand } from './proxy/init.ts';
import { stopSignal } from './signals.ts';

interface Options {
  readonly config?: string;
}

/** One line per instance, and where health is. */
const announcement = (config: ProxyConfig, running: proxy.RunningProxy): string => {
  const lines = config.instances.map((instance, at) => {
    const scheme = instance.tls === undefined ? 'http' : 'https';
    return `EAS proxy "${instance.name}" listens on ${scheme}://${instance.listenHost}:${running.instances[at]?.port}`;
  });
  if (running.adminPort !== null)
    lines.push(`Health at http://${config.adminHost}:${running.adminPort}/healthz`);
  return lines.map((line) => `${line}\n`).join('');
};

const serve = async (options: Options): Promise<void> => {
  const { configFile } = readConfig(proxySettings, { configFile: options.config });
  const config = readProxyConfig(configFile);
  const log = openLog({ level: config.log.level, name: 'proxy' });
  const advice = permissionAdvice(configFile);
  if (advice !== undefined) log.warn(advice);
  const stopped = stopSignal();
  const running = await proxy.start(config, { log });
  process.stdout.write(announcement(config, running));
  const reload = () => void running.reload();
  process.on('SIGHUP', reload);
  await stopped;
  process.off('SIGHUP', reload);
  await running.stop();
};

interface ExplainOptions extends Options {
  readonly deviceId: string;
  readonly user: string;
  readonly instance?: string;
  readonly command?: string;
  readonly userAgent?: string;
  /** A file. */
  readonly certificate?: string;
  readonly json?: true;
}

/** An address of the admin listener. */
const adminUrl = ({ adminHost, adminPort }: ProxyConfig, path: string): string =>
  `http://${adminHost.includes(':') ? `[${adminHost}]` : adminHost}:${adminPort}${path}`;

const nobodyAnswers = (cause: unknown): never => {
  throw new MusterError('dependency-unavailable', 'no proxy answers on adminPort', { cause });
};

/** What the running proxy says, asked on its admin listener. */
const askRunning = async (
  config: ProxyConfig,
  { deviceId, user, instance, command, userAgent, certificate }: ExplainOptions,
): Promise<Explanation> => {
  const given = Object.entries({ deviceId, user, instance, command, userAgent, certificate });
  const query = new URLSearchParams(
    given.flatMap(([key, value]) => (value === undefined ? [] : [[key, value]])),
  );
  const response = await fetch(adminUrl(config, `/explain?${query}`)).catch(nobodyAnswers);
  const body = (await response.json()) as Explanation & { readonly error?: string };
  if (!response.ok) throw new MusterError('invalid-input', body.error ?? '', { field: 'instance' });
  return body;
};

/** The instance that is meant: the one named, or the only one. */
const instanceOf = ({ instances }: ProxyConfig, name: string | undefined): InstanceConfig => {
  const found = name === undefined && instances.length === 1 ? instances[0] : named(instances, name);
  if (found !== undefined) return found;
  const names = instances.map((instance) => instance.name).join(', ');
  throw new MusterError('invalid-input', `--instance must be one of ${names}`, { field: 'instance' });
};

const named = (instances: readonly InstanceConfig[], name: string | undefined): InstanceConfig | undefined =>
  instances.find((instance) => instance.name === name);

/** What a proxy that starts now would say, from the verdicts on disk. */
const readState = async (
  config: ProxyConfig,
  instance: InstanceConfig,
  input: ExplainOptions,
): Promise<Explanation> => {
  const { name } = instance;
  const log = openLog({ level: 'error', name: 'proxy' });
  const serverKey = openServerKey(instanceDir(config, name));
  const { known } = await loadVerdicts(stateFileOf(config, name), serverKey, log, systemClock);
  const asked = instance.clientCertificates;
  const clientCertificates = asked === undefined ? null : openClientCertificates(asked, 'clientCertificates');
  const maxAgeMs = config.maxAgeSeconds * 1000;
  return explain({ maxAgeMs, known, clock: systemClock, instance, clientCertificates }, input);
};

/** The first certificate of a PEM file: what is asked is an address, which has no room for a chain. */
const leafOf = (file: string): string => {
  const text = readNamed(file, '--certificate').toString('latin1');
  return /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/.exec(text)?.[0] ?? '';
};

const mark = (allow: boolean | null): string => (allow === null ? '  -  ' : allow ? 'allow' : 'DENY ');

const explainCommand = (): Command =>
  new Command('explain')
    .description('Say which rule decides for a device and a user, and why. Asks the running proxy if it can.')
    .requiredOption('--device-id <id>', 'EAS id of the device')
    .requiredOption('--user <name>', 'user as the phone signs in')
    .option('--instance <name>', 'instance of the proxy; needed when there are several')
    .option('--command <name>', 'ActiveSync command (default: Sync)')
    .option('--user-agent <text>', 'user agent of the mail app')
    .option(
      '--certificate <file>',
      'certificate of the device, PEM (default: a good one is taken for granted)',
    )
    .option('--json', 'print JSON')
    .configureHelp({ showGlobalOptions: true })
    .action(async (_own: object, command: Command) => {
      const given = command.optsWithGlobals<ExplainOptions>();
      const { certificate: file, ...rest } = given;
      const options = file === undefined ? rest : { ...rest, certificate: leafOf(file) };
      const { configFile } = readConfig(proxySettings, { configFile: options.config });
      const config = readProxyConfig(configFile);
      const instance = instanceOf(config, options.instance);
      const isAsked = config.adminPort !== 0;
      const said = isAsked
        ? await askRunning(config, { ...options, instance: instance.name })
        : await readState(config, instance, options);
      if (options.json) return void process.stdout.write(`${JSON.stringify(said)}\n`);
      const lines = said.opinions.map(
        ({ rule, allow, reason }) => `  ${mark(allow)}  ${rule.padEnd(12)}${reason ?? ''}`,
      );
      process.stdout.write(
        `${said.allow ? 'allowed' : 'refused'} by ${said.rule}: ${said.reason}\n` +
          `(${isAsked ? 'the running proxy says so' : 'from the verdicts on disk; set adminPort to ask the running proxy'})\n` +
          `${lines.join('\n')}\n`,
      );
    });

/** Waits as long as the drain takes, which the configuration bounds. */
const drainRunning = async (config: ProxyConfig): Promise<void> => {
  const dispatcher = new Agent({ headersTimeout: 0, bodyTimeout: 0 });
  const answer = await request(adminUrl(config, '/drain'), { method: 'POST', dispatcher }).catch(
    nobodyAnswers,
  );
  await answer.body.dump();
  await dispatcher.close();
};

const drainCommand = (): Command =>
  new Command('drain')
    .description('Make the running proxy end its connections gracefully and wait until none is left.')
    .configureHelp({ showGlobalOptions: true })
    .action(async (_own: object, command: Command) => {
      const { configFile } = readConfig(proxySettings, {
        configFile: command.optsWithGlobals<Options>().config,
      });
      const config = readProxyConfig(configFile);
      if (config.adminPort === 0)
        throw new MusterError('config-invalid', 'adminPort: is needed to reach the running proxy', {
          field: 'adminPort',
        });
      await drainRunning(config);
      process.stdout.write('drained: no connection is left, and none is taken\n');
    });

/** The subcommand, for muster.ts. */
export const proxyCommand = (): Command =>
  new Command('proxy')
    .description('Start the EAS proxy: only known, compliant devices reach the mail servers behind it.')
    .option('--config <file>', 'its settings, YAML or JSON (MUSTER_PROXY_CONFIG)')
    .action(serve)
    .addCommand(initCommand())
    .addCommand(checkCommand())
    .addCommand(exportCommand())
    .addCommand(explainCommand())
    .addCommand(drainCommand());
