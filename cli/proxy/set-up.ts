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
import { identityFiles, makeIdentity } from '../../proxy/identity.ts';
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

interface ExportOptions extends Options {
  readonly instance?: string;
  readonly json?: true;
}

/**
 * Nothing but PEM, or JSON, on standard output, so that it can be redirected; fingerprints, to compare with what Muster
 * shows, on standard error. Missing identities are made.
 */
const exportCertificates = ({ instance, json, ...options }: ExportOptions): void => {
  const config = readProxyConfig(fileOf(options));
  const found = chosen(config, instance).map(({ name }) => {
    const { certificate, sha256 } = makeIdentity(instanceDir(config, name), name, new Date());
    return { instance: name, certificateSha256: sha256, certificatePem: certificate };
  });
  if (json) say(JSON.stringify(found));
  else
    for (const { instance: name, certificateSha256, certificatePem } of found) {
      process.stderr.write(`Instance "${name}": SHA-256 ${certificateSha256}\n`);
      process.stdout.write(certificatePem);
    }
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
    .description('Print the certificates that the instances are registered with in Muster, made at need.')
    .option('--instance <name>', 'only of this instance')
    .option('--json', 'print JSON: name, fingerprint and certificate of each')
    .action((_: Options, self: Command) => exportCertificates(self.optsWithGlobals()));
