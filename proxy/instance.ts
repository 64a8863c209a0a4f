/**
 * One instance: its listener, gate, mail server, verdicts and feed. Started by main.ts, which keeps what the whole process
 * shares; nothing here is shared between instances, so that one tenant's verdicts never decide for another.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock } from '../platform/clock.ts';
import type { Logger } from '../platform/log.ts';
import { type Health, healthOf } from './admin.ts';
import { loadCertificate, readNamed } from './certificate.ts';
import { openClientAddresses } from './client-address.ts';
import { openClientCertificates } from './client-certificates.ts';
import type { InstanceConfig, ProxyConfig } from './config.ts';
import { type ExplainInput, type Explanation, explain } from './explain.ts';
import { type FeedTiming, followFeed } from './feed.ts';
import { openBackend } from './forward.ts';
import { openGate } from './gate.ts';
import { type HeldRequests, openHeld } from './held.ts';
import { type ListenerTiming, listen, openListener } from './listener.ts';
import type { InstanceFigures } from './metrics.ts';
import { figuresOf, type Operations } from './operations.ts';
import { contextOf, keepCertificate } from './reload.ts';
import type { ReportTiming } from './report.ts';
import { loadVerdicts, openSaver, sourceOf } from './state-file.ts';
import type { Trust } from './trust.ts';

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
  readonly listenerTiming?: (Partial<ListenerTiming> & { readonly bodyIdleMs?: number }) | undefined;
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
const recheckMs = 30_000;

/** Where an instance keeps its verdicts and keys. */
export const instanceDir = (config: Pick<ProxyConfig, 'stateDir'>, name: string): string =>
  join(config.stateDir, name);

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
  const serverCa = readOptional(config.serverCaFile, 'serverCaFile');
  const backendCa = readOptional(instance.backend.caFile, fieldOf('backend.caFile'));
  const source = sourceOf(config.serverUrl, instance.serverToken);
  const known = await loadVerdicts(stateFile, source, log, clock);
  const saver = openSaver(stateFile, source, known, log);
  const held = openHeld();
  const backend = openBackend(instance.backend.url, {
    ca: backendCa,
    pin: instance.backend.pin,
    allowAny: instance.backend.allowAnyCertificate,
  });
  const maxAgeMs = config.maxAgeSeconds * 1000;
  const { observe } = operations;
  const addresses = openClientAddresses(instance.trustedProxies);
  const gate = openGate({
    instance,
    maxAgeMs,
    known,
    backend,
    held,
    addresses,
    clientCertificates,
    log,
    clock,
    observe,
    bodyIdleMs: parts.listenerTiming?.bodyIdleMs,
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
  const trust: Trust = { ca: serverCa, pin: config.serverPin, allowAny: config.allowAnyServerCertificate };
  const feed = followFeed({
    known,
    clock,
    log,
    serverUrl: config.serverUrl,
    serverToken: instance.serverToken,
    trust,
    timing: parts.timing,
    onVerdicts: (easIds) => {
      held.recheck(easIds);
      saver.changed();
    },
    onContact: saver.confirmed,
  });
  const recheck = setInterval(() => held.recheck(), recheckMs);
  if (instance.backend.allowAnyCertificate)
    log.warn('the certificate of the mail server is not verified: whoever answers gets the passwords');
  log.info(
    { host: instance.listenHost, port, tls: instance.tls !== undefined },
    'the proxy accepts requests',
  );

  let isDraining = false;
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
    await feed.stop();
    await backend.destroy();
    await saver.flush();
  };
  const health = (): Health => ({
    ...healthOf(known, clock(), maxAgeMs),
    draining: isDraining,
    ...(kept === undefined ? {} : { certificateExpiresAt: kept.expiresAt() }),
  });
  const figures = () => figuresOf(instance.name, health(), held.all().length, clock());
  operations.reportTo({
    serverUrl: config.serverUrl,
    serverToken: instance.serverToken,
    trust,
    figures,
    timing: parts.reportTiming,
  });
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
    explain: (input) => explain({ known, clock, maxAgeMs, clientCertificates }, input),
    reload: async () => kept?.reload(),
  };
};

const endLongPolls = (held: HeldRequests): void => {
  for (const request of held.all())
    if (request.isLongPoll) request.cut({ allow: false, rule: 'stopping', reason: 'the proxy stops' });
};

const readOptional = (file: string | undefined, field: string): string | undefined =>
  file === undefined ? undefined : readNamed(file, field).toString('utf8');
