/**
 * `muster proxy export`: the certificates of instances, for their registration in Muster. Called by ../proxy.ts.
 */
import { Command } from 'commander';
import { proxySettings, readConfig } from '../../platform/config.ts';
import { MusterError } from '../../platform/errors.ts';
import type { ProxyConfig } from '../../proxy/config.ts';
import { readProxyConfig } from '../../proxy/config-file.ts';
import { makeIdentity } from '../../proxy/identity.ts';
import { instanceDir } from '../../proxy/instance.ts';

interface Options {
  readonly config?: string;
}

const say = (line: string): void => void process.stdout.write(`${line}\n`);

const fileOf = (options: Options): string =>
  readConfig(proxySettings, { configFile: options.config }).configFile;

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

/** For proxy.ts. */
export const exportCommand = (): Command =>
  new Command('export')
    .option('--config <file>', 'the proxy’s settings, YAML or JSON (MUSTER_PROXY_CONFIG)')
    .description('Print the certificates that the instances are registered with in Muster, made at need.')
    .option('--instance <name>', 'only of this instance')
    .option('--json', 'print JSON: name, fingerprint and certificate of each')
    // `muster proxy` itself has --config too and takes it wherever it stands.
    .action((_: Options, self: Command) => exportCertificates(self.optsWithGlobals()));
