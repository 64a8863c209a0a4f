/**
 * `muster proxy check`: whether what the configuration says works here, before phones find out. Called by ../proxy.ts and
 * at the end of `muster proxy init`.
 */
import { accessSync, constants, existsSync, mkdtempSync, rmdirSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname, join, resolve } from 'node:path';
import { Command } from 'commander';
import { Agent, request } from 'undici';
import { z } from 'zod';
import { isoTime } from '../../platform/clock.ts';
import { proxySettings, readConfig } from '../../platform/config.ts';
import { MusterError } from '../../platform/errors.ts';
import { isLoopback } from '../../platform/listening.ts';
import { newUuid } from '../../platform/new-id.ts';
import { daysLeft, isIssuedTo } from '../../platform/pki.ts';
import { loadCertificate, readNamed } from '../../proxy/certificate.ts';
import { openClientCertificates } from '../../proxy/client-certificates.ts';
import type { InstanceConfig, ProxyConfig } from '../../proxy/config.ts';
import { permissionAdvice, readProxyConfig } from '../../proxy/config-file.ts';
import { readListDates } from '../../proxy/crl.ts';
import { easPath } from '../../proxy/eas.ts';
import { identityFiles, readIdentity } from '../../proxy/identity.ts';
import { instanceDir } from '../../proxy/instance.ts';
import { openMailClient } from '../../proxy/mail-server.ts';
import { certificateAt, openConnector } from '../../proxy/trust.ts';

/** One thing that was looked at. `fail`: the proxy would not start, or would serve nobody. */
export interface Finding {
  readonly level: 'ok' | 'warn' | 'fail';
  /** The setting, such as `instances[0].listenPort`. */
  readonly setting: string;
  readonly text: string;
  /** What to do. */
  readonly advice?: string;
}

const answerMs = 10_000;
const warnDays = 30;
/** Lists are made anew every few days or weeks, so that one which ends sooner than this is usually late. */
const warnListDays = 7;
const dayMs = 86_400_000;

const reasonOf = (error: unknown): string => {
  const { code, message, cause } = error as NodeJS.ErrnoException;
  if (cause instanceof Error && code === undefined) return reasonOf(cause);
  return code !== undefined && !message.includes(code) ? `${code}: ${message}` : message;
};

const ok = (setting: string, text: string): Finding => ({ level: 'ok', setting, text });
const warn = (setting: string, text: string, advice: string): Finding => ({
  level: 'warn',
  setting,
  text,
  advice,
});
const fail = (setting: string, text: string, advice: string): Finding => ({
  level: 'fail',
  setting,
  text,
  advice,
});

const nearestFolder = (path: string): string => (existsSync(path) ? path : nearestFolder(dirname(path)));

const checkStateDir = ({ stateDir }: ProxyConfig): Finding => {
  const folder = nearestFolder(resolve(stateDir));
  try {
    if (folder === resolve(stateDir)) rmdirSync(mkdtempSync(join(folder, '.check-')));
    else accessSync(folder, constants.W_OK);
  } catch (error) {
    return fail(
      'stateDir',
      `${folder} cannot be written (${reasonOf(error)})`,
      'Let the proxy’s user own it.',
    );
  }
  const isOpen =
    process.platform !== 'win32' && folder === resolve(stateDir) && (statSync(folder).mode & 0o077) !== 0;
  return isOpen
    ? warn('stateDir', `others may look into ${folder}`, `chmod 700 ${folder}`)
    : ok('stateDir', `${resolve(stateDir)} can be written`);
};

const checkLogFile = ({ log }: ProxyConfig): Finding[] => {
  if (log.file === undefined) return [];
  const folder = dirname(resolve(log.file));
  try {
    accessSync(folder, constants.W_OK);
    return [ok('log.file', `${folder} can be written`)];
  } catch (error) {
    return [fail('log.file', `${folder} cannot be written (${reasonOf(error)})`, 'Make the folder.')];
  }
};

/** Why an address cannot be listened on; undefined when it can. */
const listenFault = (host: string, port: number): Promise<NodeJS.ErrnoException | undefined> =>
  new Promise((answer) => {
    const server = createServer();
    server.once('error', answer);
    server.listen({ host, port, exclusive: true }, () => server.close(() => answer(undefined)));
  });

const health = z.object({ instances: z.record(z.string(), z.unknown()) });

/** Names of the instances that a proxy of this configuration runs now; undefined when none answers on adminPort. */
const runningInstances = async ({
  adminHost,
  adminPort,
}: ProxyConfig): Promise<readonly string[] | undefined> => {
  if (adminPort === 0) return undefined;
  try {
    const host = adminHost.includes(':') ? `[${adminHost}]` : adminHost;
    const answer = await fetch(`http://${host}:${adminPort}/healthz`, {
      signal: AbortSignal.timeout(answerMs),
    });
    return Object.keys(health.parse(await answer.json()).instances);
  } catch {
    return undefined;
  }
};

/** Whether what listens at an instance's address refuses as a proxy of ours does. */
const answersAsProxy = async ({ listenHost, listenPort, tls }: InstanceConfig): Promise<boolean> => {
  const host = listenHost === '0.0.0.0' ? '127.0.0.1' : listenHost === '::' ? '[::1]' : listenHost;
  const dispatcher = new Agent({ connect: { rejectUnauthorized: false }, headersTimeout: answerMs });
  try {
    const scheme = tls === undefined ? 'http' : 'https';
    const { headers, body } = await request(`${scheme}://${host}:${listenPort}/`, { dispatcher });
    await body.dump();
    return headers['x-muster-reason'] !== undefined;
  } catch {
    return false;
  } finally {
    await dispatcher.destroy();
  }
};

const portAdvice: Readonly<Record<string, string>> = {
  EACCES: 'Choose a port from 1024, or allow the program to take it (setcap cap_net_bind_service=+ep).',
  EADDRNOTAVAIL: 'Give an address of this machine.',
};

const checkPort = async (
  setting: string,
  { host, port }: { readonly host: string; readonly port: number },
  isOwn: boolean | undefined,
): Promise<Finding> => {
  const fault = await listenFault(host, port);
  const where = `${host}:${port}`;
  if (fault === undefined) return ok(setting, `${where} is free`);
  if (fault.code !== 'EADDRINUSE')
    return fail(
      setting,
      `${where} cannot be listened on (${reasonOf(fault)})`,
      portAdvice[fault.code ?? ''] ?? 'Choose another one.',
    );
  if (isOwn === true) return ok(setting, `${where} is held by the running proxy`);
  return isOwn === undefined
    ? warn(
        setting,
        `${where} is in use, perhaps by the running proxy`,
        'Set adminPort, so that it can be asked.',
      )
    : fail(setting, `${where} is in use by another program`, 'Choose another port, or stop that program.');
};

/** What could be pinned, for advice. */
const pinAdvice = async (url: URL, setting: string): Promise<string> => {
  try {
    const { pin, subject } = await certificateAt(url);
    return `It shows ${subject.replaceAll('\n', ', ')}. If that is the right one: ${setting}: ${pin}`;
  } catch {
    return 'Look at the address, and at what is between.';
  }
};

const untrusted = (setting: string): Finding =>
  warn(setting, 'whoever answers is believed', 'Give a CA or a pin: without one this is for tests only.');

const isTrustFault = (error: unknown): boolean =>
  /certificate|self.signed|pin|CERT|altname/i.test(reasonOf(error));

/** Why a server was not reached: a file that a setting names, its certificate, or the way there, for which `advice` is. */
const unreached = async (
  error: unknown,
  given: {
    readonly setting: string;
    readonly url: URL;
    readonly pinSetting: string;
    readonly advice: string;
  },
): Promise<Finding> => {
  if (error instanceof MusterError && error.code === 'config-invalid')
    return fail(error.field ?? '', error.message, 'Look at the file.');
  const { setting, url, pinSetting, advice } = given;
  return fail(
    setting,
    `${url.host} cannot be reached (${reasonOf(error)})`,
    isTrustFault(error) ? await pinAdvice(url, pinSetting) : advice,
  );
};

const checkServer = async (config: ProxyConfig, instance: InstanceConfig, at: string): Promise<Finding> => {
  const setting = `${at}.registration`;
  const folder = instanceDir(config, instance.name);
  if (!existsSync(identityFiles(folder).certificate))
    return fail(setting, 'the instance has no identity yet', 'muster proxy export makes it; register it.');
  const { serverUrl, serverPin: pin, serverCaFile, allowAnyServerCertificate: allowAny } = config;
  try {
    const ca =
      serverCaFile === undefined ? undefined : readNamed(serverCaFile, 'serverCaFile').toString('utf8');
    const dispatcher = new Agent({
      connect: openConnector({ ca, pin, allowAny }, readIdentity(folder)),
      headersTimeout: answerMs,
    });
    try {
      const url = new URL(`${serverUrl.pathname.replace(/\/$/, '')}/proxy/v1/ask`, serverUrl);
      const answer = await request(url, {
        dispatcher,
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ easDeviceIds: ['MUSTERPROXYCHECK'], nonce: newUuid() }),
      });
      await answer.body.dump();
      if (answer.statusCode === 200 && allowAny) return untrusted('allowAnyServerCertificate');
      if (answer.statusCode === 200) return ok(setting, `${serverUrl.host} knows the instance`);
      return answer.statusCode === 401
        ? warn(
            setting,
            `${serverUrl.host} does not know the instance`,
            `Register it: muster proxy export --instance ${instance.name}, then registerProxy.`,
          )
        : fail(
            setting,
            `${serverUrl.host} answers ${answer.statusCode}`,
            'Look at serverUrl and at the server.',
          );
    } finally {
      await dispatcher.destroy();
    }
  } catch (error) {
    const advice = 'Look at serverUrl, and whether the server listens for proxies (MUSTER_PROXY_FEED_PORT).';
    return unreached(error, { setting: 'serverUrl', url: serverUrl, pinSetting: 'serverPin', advice });
  }
};

const checkBackend = async ({ backend }: InstanceConfig, at: string): Promise<Finding> => {
  const setting = `${at}.backend`;
  const { url, pin, allowAnyCertificate: allowAny } = backend;
  const isOpen = url.protocol === 'http:' && !isLoopback(url.hostname);
  try {
    const ca =
      backend.caFile === undefined
        ? undefined
        : readNamed(backend.caFile, `${setting}.caFile`).toString('utf8');
    const pool = openMailClient(url, { ca, pin, allowAny });
    try {
      const signal = AbortSignal.timeout(answerMs);
      const answer = await pool.request({ method: 'OPTIONS', path: easPath, signal });
      await answer.body.dump();
      const { statusCode: status } = answer;
      if (status !== 401 && status !== 200)
        return warn(
          setting,
          `${url.host} answers ${status} to OPTIONS of ${easPath}`,
          'A mail server with ActiveSync answers 401 without a password.',
        );
      if (allowAny) return untrusted(`${setting}.allowAnyCertificate`);
      if (isOpen)
        return warn(setting, `passwords go to ${url.host} in the clear`, 'Use https for the mail server.');
      return ok(setting, `${url.host} answers ${status} to OPTIONS`);
    } finally {
      await pool.destroy();
    }
  } catch (error) {
    const advice = 'Look at backend.url, and at what is between.';
    return unreached(error, { setting, url, pinSetting: 'pin', advice });
  }
};

const checkCertificate = async (
  config: ProxyConfig,
  instance: InstanceConfig,
  at: string,
  now: Date,
): Promise<Finding> => {
  const setting = `${at}.tls`;
  if (instance.tls === undefined)
    return instance.publicUrl.protocol === 'https:'
      ? ok(setting, 'none: what stands in front must have the certificate')
      : warn(setting, 'phones speak without TLS', 'Give it a certificate, or publish it over https.');
  try {
    const folder = instanceDir(config, instance.name);
    const { certificate } = await loadCertificate(instance.tls, { folder, field: setting, now });
    const host = instance.publicUrl.hostname.replace(/^\[|\]$/g, '');
    const days = Math.floor(daysLeft(certificate, now));
    if (!isIssuedTo(certificate, host))
      return fail(
        setting,
        `the certificate is not made out to ${host}`,
        'Use one for the host of publicUrl.',
      );
    if (days < 0) return fail(setting, `the certificate expired on ${certificate.validTo}`, 'Renew it.');
    if (days < warnDays && !('selfSigned' in instance.tls))
      return warn(setting, `the certificate expires in ${days} days`, 'Renew it.');
    return ok(setting, `a certificate for ${host}, good for ${days} days`);
  } catch (error) {
    return fail(setting, reasonOf(error), 'Look at the file and its setting.');
  }
};

const checkClientCertificates = (
  { clientCertificates }: InstanceConfig,
  at: string,
  now: Date,
): Finding[] => {
  if (clientCertificates === undefined) return [];
  const setting = `${at}.clientCertificates`;
  const { crlFile } = clientCertificates;
  try {
    openClientCertificates(clientCertificates, setting);
    return crlFile === undefined
      ? [ok(setting, 'the CA can be read')]
      : [
          ok(setting, 'CA and revocation list can be read'),
          checkRevocationLists(crlFile, `${setting}.crlFile`, now.getTime()),
        ];
  } catch (error) {
    return [fail(setting, reasonOf(error), 'Look at the files.')];
  }
};

/** The list of the file that ends first; OpenSSL takes none of them before its first or after its last moment. */
const checkRevocationLists = (file: string, setting: string, now: number): Finding => {
  const lists = readListDates(readNamed(file, setting).toString('latin1'));
  if (lists === undefined)
    return fail(setting, 'the dates of a revocation list cannot be read', 'Get a newer list of the CA.');
  const refuses = 'devices of its CA are refused';
  const early = lists.find(({ thisUpdate }) => thisUpdate > now);
  if (early !== undefined)
    return warn(
      setting,
      `a revocation list counts from ${isoTime(early.thisUpdate)} only: until then ${refuses}`,
      'Look at the clock of this machine.',
    );
  const ends = lists.flatMap(({ nextUpdate }) => (nextUpdate === null ? [] : [nextUpdate]));
  if (ends.length === 0) return ok(setting, 'the revocation list does not expire');
  const end = Math.min(...ends);
  const days = Math.floor((end - now) / dayMs);
  if (end < now)
    return warn(setting, `a revocation list expired at ${isoTime(end)}: ${refuses}`, 'Get a newer one.');
  return days < warnListDays
    ? warn(setting, `a revocation list expires in ${days} days: then ${refuses}`, 'Get a newer one.')
    : ok(setting, `good for ${days} days`);
};

/** Looks at everything that a configuration names. Nothing is sent to the mail server but an OPTIONS without a password. */
export const checkProxy = async (config: ProxyConfig, now = new Date()): Promise<readonly Finding[]> => {
  const running = await runningInstances(config);
  const { adminHost: host, adminPort: port } = config;
  const findings: Finding[] = [checkStateDir(config), ...checkLogFile(config)];
  if (port !== 0) findings.push(await checkPort('adminPort', { host, port }, running !== undefined));
  for (const [index, instance] of config.instances.entries()) {
    const at = `instances[${index}]`;
    const isOwn =
      port === 0 ? undefined : running?.includes(instance.name) === true && (await answersAsProxy(instance));
    const { listenHost, listenPort } = instance;
    findings.push(
      await checkPort(`${at}.listenPort`, { host: listenHost, port: listenPort }, isOwn),
      await checkCertificate(config, instance, at, now),
      ...checkClientCertificates(instance, at, now),
      await checkServer(config, instance, at),
      await checkBackend(instance, at),
    );
  }
  return findings;
};

const marks = { ok: 'ok  ', warn: 'warn', fail: 'FAIL' } as const;

/** One finding as lines. */
const lineOf = ({ level, setting, text, advice }: Finding, width: number): string =>
  `${marks[level]}  ${setting.padEnd(width)}  ${text}${advice === undefined ? '' : `\n${' '.repeat(width + 8)}${advice}`}`;

/** Prints findings; answers whether all is well enough to start. */
export const showFindings = (findings: readonly Finding[]): boolean => {
  const width = Math.max(...findings.map(({ setting }) => setting.length));
  for (const finding of findings) process.stdout.write(`${lineOf(finding, width)}\n`);
  return findings.every(({ level }) => level !== 'fail');
};

interface Options {
  readonly config?: string;
  readonly json?: true;
}

/** For proxy.ts. */
export const checkCommand = (): Command =>
  new Command('check')
    .description(
      'Look whether ports, certificates, the Muster server and the mail servers are as the settings say.',
    )
    .option('--json', 'print JSON: level, setting, text and advice of each finding')
    .configureHelp({ showGlobalOptions: true })
    .action(async (_own: object, command: Command) => {
      const options = command.optsWithGlobals<Options>();
      const { configFile } = readConfig(proxySettings, { configFile: options.config });
      const config = readProxyConfig(configFile);
      const advice = permissionAdvice(configFile);
      const findings = await checkProxy(config);
      const all = advice === undefined ? findings : [warn('--config', advice, 'See there.'), ...findings];
      if (options.json) process.stdout.write(`${JSON.stringify(all)}\n`);
      else showFindings(all);
      if (all.some(({ level }) => level === 'fail')) process.exitCode = 1;
    });
