/**
 * One instance: its listener, gate, mail server, verdicts and feed. Started by main.ts, which keeps what the whole process
 * shares; nothing here is shared between instances, so that one tenant's verdicts never decide for another.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { Agent } from 'undici';
import type { Clock } from '../platform/clock.ts';
import type { Logger } from '../platform/log.ts';
import { type Health, healthOf } from './admin.ts';
import { openAsk } from './ask.ts';
import { loadCertificate, readNamed } from './certificate.ts';
import { openClientAddresses } from './client-address.ts';
import { openClientCertificates } from './client-certificates.ts';
import type { InstanceConfig, ProxyConfig } from './config.ts';
import { type ExplainInput, type Explanation, explain } from './explain.ts';
import { type FeedTiming, followFeed } from './feed.ts';
import { openGate } from './gate.ts';
import { type HeldRequests, openHeld } from './held.ts';
import { type Identity, readIdentity } from './identity.ts';
import { type ListenerTiming, listen, openListener } from './listener.ts';
import { openMailServer } from './mail-server.ts';
import type { InstanceFigures } from './metrics.ts';
import { figuresOf, type Operations } from './operations.ts';
import { contextOf, keepCertificate } from './reload.ts';
import type { ReportTiming } from './report.ts';
import { openServerKey } from './server-key.ts';
import { openSightings } from './sightings.ts';
import { openStaleLog } from './stale-log.ts';
import { loadVerdicts, openStateFile } from './state-file.ts';
import { openConnector } from './trust.ts';

/** What an instance takes from its process. */
export interface InstanceParts {
  readonly config: ProxyConfig;
  /** Its place in the configuration, which faults name. */
  readonly index: number;
  readonly clock: Clock;
  readonly log: Logger;
  readonly operations: Pick<Operations, 'observe' | 'reportTo'>;
  readonly timing?: Partial<FeedTiming> | undefined;
  readonly reportTiming?: Partial<ReportTiming> | undefined;
  readonly recheckMs?: number | undefined;
  readonly listenerTiming?: Partial<ListenerTiming> | undefined;
}

/** An instance that accepts requests. */
export interface RunningInstance {
  readonly name: string;
  readonly port: number;
  readonly health: () => Health;
  readonly figures: () => InstanceFigures;
  /** What would be decided now, and why. */
  readonly explain: (input: ExplainInput) => Explanation;
  /** Reads the certificate again; the old one stays when the new one cannot be used. */
  readonly reload: () => Promise<void>;
  /** From now on health and figures say that it will stop; it serves on. */
  readonly announceDrain: () => void;
  /** Takes no new connection, ends long polls, gives other requests the drain time; settles when no connection is left. */
  readonly drain: () => Promise<void>;
  /** Drains, writes the table, closes everything. */
  readonly stop: () => Promise<void>;
}

/** How often held requests are decided again for no other reason than time: the table may have become stale. */
const defaultRecheckMs = 30_000;

/** Where an instance keeps its identity, its verdicts and its other keys. */
export const instanceDir = (config: Pick<ProxyConfig, 'stateDir'>, name: string): string =>
  join(config.stateDir, name);

/** The client of the Muster server, which knows the instance by its certificate. */
const openServer = (config: ProxyConfig, identity: Identity): Agent => {
  const { serverCaFile, serverPin: pin, allowAnyServerCertificate: allowAny } = config;
  const ca = readOptional(serverCaFile, 'serverCaFile');
  return new Agent({
    headersTimeout: 15_000,
    bodyTimeout: 0,
    connect: openConnector({ ca, pin, allowAny }, identity),
  });
};

/** The file of its verdicts. */
export const stateFileOf = (config: Pick<ProxyConfig, 'stateDir'>, name: string): string =>
  join(instanceDir(config, name), 'verdicts');

/** Starts one. Throws `config-invalid` when a file cannot be read or its address cannot be listened on. */
export const startInstance = async (parts: InstanceParts): Promise<RunningInstance> => {
  const { config, index, clock, operations } = parts;
  const instance = config.instances[index] as InstanceConfig;
  const log = parts.log.child({ instance: instance.name });
  const fieldOf = (setting: string): string => `instances[${index}].${setting}`;
  const folder = instanceDir(config, instance.name);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const stateFile = stateFileOf(config, instance.name);
  const shown =
    instance.tls === undefined
      ? undefined
      : await loadCertificate(instance.tls, { folder, field: fieldOf('tls'), now: new Date(clock()) });
  const clientCertificates =
    instance.clientCertificates === undefined
      ? null
      : openClientCertificates(instance.clientCertificates, fieldOf('clientCertificates'));
  const agent = openServer(config, readIdentity(folder));
  const backendCa = readOptional(instance.backend.caFile, fieldOf('backend.caFile'));
  const serverKey = openServerKey(folder);
  const loaded = await loadVerdicts(stateFile, serverKey, log, clock);
  const { known } = loaded;
  const held = openHeld();
  const mailServer = openMailServer(instance.backend.url, {
    ca: backendCa,
    pin: instance.backend.pin,
    allowAny: instance.backend.allowAnyCertificate,
  });
  const maxAgeMs = config.maxAgeSeconds * 1000;
  const { serverUrl, allowAnyServerCertificate } = config;
  const { observe } = operations;
  const ask = openAsk({ known, serverUrl, serverKey, agent, clock, log, onVerdicts: held.recheck });
  const sightings = openSightings({
    known,
    mailServer: mailServer.client,
    clock,
    log,
    onSighting: () => reporter.soon(),
  });
  const addresses = openClientAddresses(instance.trustedProxies);
  const gate = openGate({
    instance,
    maxAgeMs,
    known,
    upstream: mailServer.upstream,
    held,
    addresses,
    clientCertificates,
    log,
    clock,
    ask,
    sight: sightings.sight,
    observe,
  });
  const listener = openListener(
    shown === undefined
      ? undefined
      : {
          ...contextOf(shown, clientCertificates),
          // A client without a good certificate gets 403, which rules/certificate.ts sees to.
          ...(clientCertificates === null ? {} : { requestCert: true, rejectUnauthorized: false }),
        },
    gate,
    {
      instance: instance.name,
      observe,
      addresses,
      proxyProtocol: instance.proxyProtocol,
      timing: parts.listenerTiming,
    },
  );
  const { server } = listener;
  const port = await listen(server, instance.listenHost, instance.listenPort, fieldOf('listenPort'));
  const kept =
    instance.tls === undefined || shown === undefined
      ? undefined
      : keepCertificate({
          server,
          tls: instance.tls,
          first: shown,
          clientCertificates,
          onTrust: () => held.recheck(),
          folder,
          field: fieldOf('tls'),
          clock,
          log,
        });
  const journal = openStateFile(stateFile, loaded, log, clock);
  const feed = followFeed({
    known,
    clock,
    log,
    agent,
    serverUrl,
    serverKey,
    journal,
    verifiesServer: !allowAnyServerCertificate,
    wantsSnapshot: journal.wantsSnapshot,
    timing: parts.timing,
    onVerdicts: held.recheck,
  });
  let isDraining = false;
  const health = (): Health => ({
    ...healthOf(known, clock(), maxAgeMs, !allowAnyServerCertificate),
    draining: isDraining,
    ...(kept === undefined ? {} : { certificateExpiresAt: kept.expiresAt() }),
  });
  const figures = () => figuresOf(instance.name, health(), held.size(), clock());
  const reporter = operations.reportTo({
    serverUrl,
    agent,
    figures,
    takeSightings: sightings.take,
    timing: parts.reportTiming,
  });
  const sayStale = openStaleLog(log);
  const recheck = setInterval(() => {
    held.recheck();
    sayStale(health());
  }, parts.recheckMs ?? defaultRecheckMs);
  if (instance.backend.allowAnyCertificate)
    log.warn('the certificate of the mail server is not verified: whoever answers gets the passwords');
  log.info(
    { host: instance.listenHost, port, tls: instance.tls !== undefined },
    'the proxy accepts requests',
  );

  let drained: Promise<void> | undefined;
  const drain = (): Promise<void> => {
    isDraining = true;
    // Verdicts go on changing for the requests that are left.
    drained ??= listener.drain(config.drainSeconds * 1000, () => endLongPolls(held));
    return drained;
  };
  const stop = async (): Promise<void> => {
    await drain();
    clearInterval(recheck);
    kept?.stop();
    await sightings.stop();
    await feed.stop();
    await mailServer.destroy();
    await reporter.stop();
    await agent.destroy();
    await journal.close();
  };
  return {
    name: instance.name,
    port,
    announceDrain: () => {
      isDraining = true;
    },
    drain,
    stop,
    health,
    figures,
    explain: (input) => explain({ known, clock, maxAgeMs, instance, clientCertificates }, input),
    reload: async () => kept?.reload(),
  };
};

const endLongPolls = (held: HeldRequests): void => {
  for (const request of held.all())
    if (request.isLongPoll) held.cut(request, { allow: false, rule: 'stopping', reason: 'the proxy stops' });
};

const readOptional = (file: string | undefined, field: string): string | undefined =>
  file === undefined ? undefined : readNamed(file, field).toString('utf8');
