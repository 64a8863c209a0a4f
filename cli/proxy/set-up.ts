/**
 * `muster proxy init` and `muster proxy export`: a first configuration file, the identities of its instances, and their
 * certificates for the registration in Muster. Called by ../proxy.ts.
 */
import { writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { Command } from 'commander';
import { proxySettings, readConfig } from '../../platform/config.ts';
import { MusterError } from '../../platform/errors.ts';
import type { ProxyConfig } from '../../proxy/config.ts';
import { readProxyConfig } from '../../proxy/config-file.ts';
import { identityFiles, makeIdentity, readIdentity } from '../../proxy/identity.ts';
import { instanceDir } from '../../proxy/instance.ts';
import { exampleConfig } from './example.ts';

interface Options {
  readonly config?: string;
}

const say = (line: string): void => void process.stdout.write(`${line}\n`);

const fileOf = (options: Options): string =>
  readConfig(proxySettings, { configFile: options.config }).configFile;

/** Writes the example where nothing is yet; answers whether it did. */
const writeExample = (file: string): boolean => {
  try {
    writeFileSync(file, exampleConfig(join(dirname(resolve(file)), 'proxy-state')), {
      mode: 0o600,
      flag: 'wx',
    });
    return true;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw new MusterError('config-invalid', `${file} cannot be written`, { cause });
  }
};

const init = (options: Options): void => {
  const file = fileOf(options);
  if (writeExample(file)) say(`${file} is an example; make it fit your network.`);
  const config = readProxyConfig(file);
  for (const { name } of config.instances) {
    const folder = instanceDir(config, name);
    const { sha256 } = makeIdentity(folder, name, new Date());
    say(`Instance "${name}": ${identityFiles(folder).certificate}, SHA-256 ${sha256}`);
  }
  say(
    `Next: register each certificate in its tenant (muster proxy export, mutation registerProxy), then muster proxy --config ${file}.`,
  );
};

const chosen = ({ instances }: ProxyConfig, name: string | undefined): ProxyConfig['instances'] => {
  const found = name === undefined ? instances : instances.filter((instance) => instance.name === name);
  if (found.length > 0) return found;
  const known = instances.map((instance) => instance.name).join(', ');
  throw new MusterError('config-invalid', `--instance: there is no "${name}", only ${known}`);
};

/** Nothing but PEM on standard output, so that it can be redirected into a file. */
const exportCertificates = ({ instance, ...options }: Options & { readonly instance?: string }): void => {
  const config = readProxyConfig(fileOf(options));
  for (const { name } of chosen(config, instance))
    process.stdout.write(readIdentity(instanceDir(config, name)).certificate);
};

/** `muster proxy` itself has the option too and takes it wherever it stands: hence optsWithGlobals below. */
const command = (name: string): Command =>
  new Command(name).option('--config <file>', 'the proxy’s settings, YAML or JSON (MUSTER_PROXY_CONFIG)');

/** For proxy.ts. */
export const initCommand = (): Command =>
  command('init')
    .description(
      'Make what a proxy starts with: an example of its settings if there are none, and missing identities.',
    )
    .action((_: Options, self: Command) => init(self.optsWithGlobals()));

/** For proxy.ts. */
export const exportCommand = (): Command =>
  command('export')
    .description('Print the certificates that the instances are registered with in Muster (PEM).')
    .option('--instance <name>', 'only of this instance')
    .action((_: Options, self: Command) => exportCertificates(self.optsWithGlobals()));
