/**
 * Starts and stops `muster proxy`, the ActiveSync gate. Called by cli/. Everything long-lived is made here and passed on.
 */
import { once } from 'node:events';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type Clock, systemClock } from '../platform/clock.ts';
import { MusterError } from '../platform/errors.ts';
import type { Logger } from '../platform/log.ts';
import { type Health, healthOf, openAdmin, unreadyReasons } from './admin.ts';
import type { ProxyConfig } from './config.ts';
import { explain } from './explain.ts';
import { type FeedTiming, followFeed } from './feed.ts';
import { openBackend } from './forward.ts';
import { openGate } from './gate.ts';
import { openHeld } from './held.ts';
import { openListener, readPem } from './listener.ts';
import { certificateEnd, figuresOf, openOperations } from './operations.ts';
import type { ReportTiming } from './report.ts';
import { loadVerdicts, openSaver, sourceOf } from './state-file.ts';

export interface ProxyDeps {
  readonly log: Logger;
  readonly clock?: Clock;
  readonly timing?: Partial<FeedTiming>;
  readonly reportTiming?: Partial<ReportTiming>;
}

/** A proxy that accepts requests. */
export interface RunningProxy {
  readonly port: number;
  /** Null when there is no admin listener. */
  readonly adminPort: number | null;
  /** Ends long polls, gives other requests `drainMs` to finish, writes the table, closes everything. */
  readonly stop: () => Promise<void>;
  /** What /healthz says, for a caller in the same process. */
  readonly health: () => Health;
  /** Opens the access log again, after somebody moved its file away. */
  readonly reopenLog: () => void;
}

/** Name of the one instance. */
const instance = 'default';

/** How often held requests are decided again for no other reason than time: the table may have become stale. */
const recheckMs = 30_000;
const drainMs = 5_000;

/**
 * Starts a proxy; `config` from parseProxyConfig. Throws `config-invalid` when a file cannot be read or an address cannot
 * be listened on. Does not wait for the server: without verdicts it refuses.
 */
export const start = async (config: ProxyConfig, deps: ProxyDeps): Promise<RunningProxy> => {
  const { log, clock = systemClock } = deps;
  const serverCa =
    config.serverCaFile === undefined
      ? undefined
      : readPem(config.serverCaFile, 'serverCaFile').toString('utf8');
  const backendCa =
    config.backendCaFile === undefined
      ? undefined
      : readPem(config.backendCaFile, 'backendCaFile').toString('utf8');
  const source = sourceOf(config.serverUrl, config.serverToken);
  const known = await loadVerdicts(config.stateFile, source, log, clock);
  const saver = openSaver(config.stateFile, source, known, log);
  const held = openHeld();
  const backend = openBackend(config.backendUrl, backendCa);
  const health = () => healthOf(known, clock(), config.maxAgeSeconds * 1000);
  const certificateExpiresAt = certificateEnd(
    config.tls === undefined ? undefined : readPem(config.tls.certFile, 'tls.certFile'),
  );
  const figures = () => figuresOf(instance, health(), held.all().length, certificateExpiresAt, clock());
  const operations = openOperations({ log, clock, settings: config.log, instances: () => [figures()] });
  const { observe } = operations;
  const server = openListener(
    config.tls,
    openGate({ config, known, backend, held, log, clock, instance, observe }),
    { log, instance, observe },
  );
  let isDraining = false;
  const admin = openAdmin({
    health,
    readiness: () => {
      const reasons = unreadyReasons(health(), isDraining);
      const ready = reasons.length === 0;
      return { ready, instances: [{ instance, ready, reasons }] };
    },
    metrics: operations.metrics,
    explain: (wanted, input) =>
      wanted === null || wanted === instance ? explain({ config, known, clock }, input) : undefined,
  });
  const port = await listen(server, config.listenHost, config.listenPort, 'listenPort');
  const adminPort =
    config.adminPort === 0
      ? null
      : await listen(admin, config.adminHost, config.adminPort, 'adminPort').catch(closing(server));
  const feed = followFeed({
    known,
    clock,
    log,
    serverCa,
    serverUrl: config.serverUrl,
    serverToken: config.serverToken,
    timing: deps.timing,
    onVerdicts: (easIds) => {
      held.recheck(easIds);
      saver.changed();
    },
    onContact: saver.confirmed,
  });
  operations.reportTo({
    serverUrl: config.serverUrl,
    headers: { authorization: `Bearer ${config.serverToken}` },
    ca: serverCa,
    allowsAnyServerCertificate: false,
    figures,
    timing: deps.reportTiming,
  });
  const recheck = setInterval(() => held.recheck(), recheckMs);
  log.info(
    { host: config.listenHost, port, adminPort, tls: config.tls !== undefined },
    'the proxy accepts requests',
  );

  const stop = async (): Promise<void> => {
    isDraining = true;
    clearInterval(recheck);
    await feed.stop();
    const closed = Promise.all([close(server), adminPort === null ? null : close(admin)]);
    for (const request of held.all())
      if (request.isLongPoll) request.cut({ allow: false, rule: 'stopping', reason: 'the proxy stops' });
    const drain = setTimeout(() => server.closeAllConnections(), drainMs);
    // Connections that finish their request meanwhile would stay open for the next one.
    const sweep = setInterval(() => server.closeIdleConnections(), 50);
    await closed;
    clearTimeout(drain);
    clearInterval(sweep);
    await backend.destroy();
    await operations.stop();
    await saver.flush();
  };
  return { port, adminPort, stop, health, reopenLog: operations.reopenLog };
};

const listen = async (server: Server, host: string, port: number, field: string): Promise<number> => {
  server.listen(port, host);
  try {
    await once(server, 'listening');
  } catch (cause) {
    throw new MusterError('config-invalid', `${field}: cannot listen on ${host}:${port}`, { cause, field });
  }
  return (server.address() as AddressInfo).port;
};

const closing =
  (server: Server) =>
  async (error: unknown): Promise<never> => {
    await close(server);
    throw error;
  };

const close = (server: Server): Promise<void> =>
  new Promise((resolve) => {
    server.close(() => resolve());
    server.closeIdleConnections();
  });
