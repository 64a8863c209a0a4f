/**
 * `muster proxy init`: from answers on a terminal, or from options, to a configuration file, the identities of its
 * instances, a check of all of it, and what to do next. Called by ../proxy.ts.
 */
import { existsSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { Command, Option } from 'commander';
import { proxySettings, readConfig } from '../../platform/config.ts';
import { MusterError } from '../../platform/errors.ts';
import { createPrivateFile, writePrivateFile } from '../../platform/private-file.ts';
import { parseProxyConfig } from '../../proxy/config.ts';
import { readProxyConfig, readSettings } from '../../proxy/config-file.ts';
import { identityFiles, makeIdentity } from '../../proxy/identity.ts';
import { instanceDir } from '../../proxy/instance.ts';
import { ownerOf } from '../../proxy/state-owner.ts';
import { checkProxy, showFindings } from './check.ts';
import { type GivenSettings, type GivenTls, type GivenTrust, settingsText } from './settings-text.ts';
import { askSettings, type Known } from './wizard.ts';

interface Options {
  readonly config?: string;
  readonly force?: true;
  readonly serverUrl?: string;
  readonly serverPin?: string;
  readonly serverCa?: string;
  readonly stateDir?: string;
  readonly adminPort?: string;
  readonly instance?: string;
  readonly listen?: string;
  readonly publicUrl?: string;
  readonly backend?: string;
  readonly backendPin?: string;
  readonly backendCa?: string;
  readonly selfSigned?: string | true;
  readonly cert?: string;
  readonly key?: string;
  readonly chain?: string;
  readonly pkcs12?: string;
  readonly password?: string;
}

const say = (line: string): void => void process.stdout.write(`${line}\n`);

const misused = (message: string): MusterError => new MusterError('config-invalid', message);

const trustOf = (pin: string | undefined, caFile: string | undefined): GivenTrust | undefined => {
  if (pin !== undefined) return { pin };
  return caFile === undefined ? undefined : { caFile: resolve(caFile) };
};

const tlsOf = (options: Options): GivenTls | undefined => {
  const { selfSigned, cert, key, chain, pkcs12, password } = options;
  const kinds = [selfSigned, cert, pkcs12].filter((kind) => kind !== undefined);
  if (kinds.length > 1) throw misused('only one of --self-signed, --cert and --pkcs12');
  if (selfSigned !== undefined) {
    const host = URL.canParse(options.publicUrl ?? '') ? new URL(options.publicUrl ?? '').hostname : '';
    return { selfSigned: { hostName: selfSigned === true ? host : selfSigned } };
  }
  if (pkcs12 !== undefined)
    return {
      pkcs12File: resolve(pkcs12),
      ...(password === undefined ? {} : { passwordFile: resolve(password) }),
    };
  if (password !== undefined) throw misused('--password needs --pkcs12');
  if (cert === undefined && (key !== undefined || chain !== undefined))
    throw misused('--key and --chain need --cert');
  if (cert === undefined) return undefined;
  if (key === undefined) throw misused('--cert needs --key');
  return {
    certFile: resolve(cert),
    keyFile: resolve(key),
    ...(chain === undefined ? {} : { chainFile: resolve(chain) }),
  };
};

/** `host:port`, `[host]:port` or a port alone. */
const listenOf = (given: string | undefined): { listenHost?: string; listenPort?: number } => {
  if (given === undefined) return {};
  const [, host, bare, port] = /^(?:(?:\[([^\]]+)\]|([^:]+)):)?(\d{1,5})$/.exec(given) ?? [];
  if (port === undefined) throw misused('--listen must be a port, or an address and a port: 0.0.0.0:443');
  const listenHost = host ?? bare;
  return { listenPort: Number(port), ...(listenHost === undefined ? {} : { listenHost }) };
};

/** The entries that have a value. */
const given = <Values extends object>(
  values: Values,
): { [Key in keyof Values]?: Exclude<Values[Key], undefined> } =>
  Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as never;

const knownFrom = (options: Options): Known => ({
  ...given({
    serverUrl: options.serverUrl,
    serverTrust: trustOf(options.serverPin, options.serverCa),
    stateDir: options.stateDir === undefined ? undefined : resolve(options.stateDir),
    adminPort: options.adminPort === undefined ? undefined : Number(options.adminPort),
  }),
  instance: given({
    name: options.instance,
    publicUrl: options.publicUrl,
    tls: tlsOf(options),
    backendUrl: options.backend,
    backendTrust: trustOf(options.backendPin, options.backendCa),
    ...listenOf(options.listen),
  }),
});

/** Without a terminal: what was not said is as usual, or missing. */
const completed = ({ instance, ...known }: Known, stateDir: string): GivenSettings => {
  const { serverUrl } = known;
  const { publicUrl, backendUrl, tls = null } = instance;
  if (serverUrl === undefined || publicUrl === undefined || backendUrl === undefined) {
    const missing = Object.entries({
      '--server-url': serverUrl,
      '--public-url': publicUrl,
      '--backend': backendUrl,
    }).flatMap(([option, value]) => (value === undefined ? [option] : []));
    throw misused(`${missing.join(', ')}: needed where there is no terminal to ask on`);
  }
  return {
    serverTrust: null,
    stateDir,
    adminPort: 0,
    ...known,
    serverUrl,
    instances: [
      {
        name: 'mail',
        listenHost: tls === null ? '127.0.0.1' : '0.0.0.0',
        listenPort: 8443,
        backendTrust: null,
        ...instance,
        publicUrl,
        backendUrl,
        tls,
      },
    ],
  };
};

/** Everything but where the file is, and whether it may be replaced. */
const saysSomething = ({ config: _, force: __, ...rest }: Options): boolean => Object.keys(rest).length > 0;

const writeSettings = async (file: string, options: Options): Promise<void> => {
  const stateDir = join(dirname(resolve(file)), 'proxy-state');
  const known = knownFrom(options);
  const settings =
    process.stdin.isTTY && process.stdout.isTTY
      ? await askSettings(known, stateDir)
      : completed(known, stateDir);
  const text = settingsText(settings);
  // What would be refused at the start is refused now, and nothing is written.
  const owner = ownerOf(parseProxyConfig(readSettings(text, file)).stateDir);
  try {
    (options.force ? writePrivateFile : createPrivateFile)(file, text, owner);
  } catch (cause) {
    throw new MusterError('config-invalid', `${file} cannot be written`, { cause });
  }
  say(`Wrote ${file}.`);
};

const init = async (options: Options): Promise<void> => {
  const { configFile: file } = readConfig(proxySettings, { configFile: options.config });
  const isThere = existsSync(file);
  if (isThere && !options.force && saysSomething(options))
    throw misused(`${file} is there already; --force replaces it`);
  if (!isThere || options.force) await writeSettings(file, options);
  const config = readProxyConfig(file);
  for (const { name } of config.instances) {
    const folder = instanceDir(config, name);
    const { sha256 } = makeIdentity(folder, name, new Date());
    say(`Instance "${name}": ${identityFiles(folder).certificate}, SHA-256 ${sha256}`);
  }
  say('');
  const isWell = showFindings(await checkProxy(config));
  const names = config.instances.map(({ name }) => name);
  say(`
Next:
  1. Register each instance in its tenant (GraphQL mutation registerProxy) with what this prints:
${names.map((name) => `       muster proxy export --config ${file} --instance ${name}`).join('\n')}
     and compare the SHA-256 above with what Muster shows.
  2. muster proxy check --config ${file}
  3. muster proxy --config ${file}`);
  if (!isWell) process.exitCode = 1;
};

/** For proxy.ts. */
export const initCommand = (): Command =>
  new Command('init')
    .description(
      'Set up a proxy: ask for its settings, or take them as options, write the file, make identities, check everything.',
    )
    .option('--config <file>', 'the file to write (MUSTER_PROXY_CONFIG)')
    .option('--force', 'replace the file')
    .option('--server-url <url>', 'the Muster server’s listener for proxies')
    .option('--server-pin <sha256>', 'fingerprint of its authority or certificate')
    .addOption(
      new Option('--server-ca <file>', 'PEM of the CA that signed its certificate').conflicts('serverPin'),
    )
    .option('--state-dir <folder>', 'where keys and verdicts are kept (default: proxy-state beside the file)')
    .option('--admin-port <port>', 'health and metrics on loopback')
    .option('--instance <name>', 'name of the instance (default: mail)')
    .option('--listen <[address:]port>', 'where devices are listened for')
    .option('--public-url <url>', 'address that devices know it as')
    .option('--backend <url>', 'the mail server')
    .option('--backend-pin <sha256>', 'fingerprint of its certificate')
    .addOption(
      new Option('--backend-ca <file>', 'PEM of the CA that signed its certificate').conflicts('backendPin'),
    )
    .option(
      '--self-signed [host]',
      'let the proxy make its certificate (default: for the host of --public-url)',
    )
    .option('--cert <file>', 'PEM of the certificate that devices see')
    .option('--key <file>', 'PEM of its key')
    .option('--chain <file>', 'PEM of the certificates between')
    .option('--pkcs12 <file>', 'PKCS#12 file instead')
    .option('--password <file>', 'file with its password')
    .action((_: Options, self: Command) => init(self.optsWithGlobals()));
