/**
 * `muster proxy`: the EAS proxy, a process of its own that reaches the server over HTTPS alone.
 */
import { Command } from 'commander';
import { proxySettings, readConfig } from '../platform/config.ts';
import { openLog } from '../platform/log.ts';
import type { ProxyConfig } from '../proxy/config.ts';
import { permissionAdvice, readProxyConfig } from '../proxy/config-file.ts';
import * as proxy from '../proxy/main.ts';
import { exportCommand, initCommand } from './proxy/set-up.ts';
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

/** The subcommand, for muster.ts. */
export const proxyCommand = (): Command =>
  new Command('proxy')
    .description('Start the EAS proxy: only known, compliant devices reach the mail servers behind it.')
    .option('--config <file>', 'its settings, YAML or JSON (MUSTER_PROXY_CONFIG)')
    .action(serve)
    .addCommand(initCommand())
    .addCommand(exportCommand());
