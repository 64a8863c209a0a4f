/**
 * Starts and stops `muster proxy`, the ActiveSync gate. Called by cli/. Everything long-lived is made here and passed on.
 */
import { once } from 'node:events';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { type Clock, systemClock } from '../platform/clock.ts';
import { MusterError } from '../platform/errors.ts';
import type { Logger } from '../platform/log.ts';
import { type Health, healthOf, openAdmin } from './admin.ts';
import { openAsk } from './ask.ts';
import type { ProxyConfig } from './config.ts';
import { type FeedTiming, followFeed } from './feed.ts';
import { openBackend } from './forward.ts';
import { openGate } from './gate.ts';
import { openHeld } from './held.ts';
import { readIdentity } from './identity.ts';
import { openListener, readPem } from './listener.ts';
import { openServerKey } from './server-key.ts';
import { openServer, type ServerTrust } from './server-trust.ts';
import { loadVerdicts, openStateFile } from './state-file.ts';

export interface ProxyDeps {
  readonly log: Logger;
  readonly clock?: Clock;
  readonly timing?: Partial<FeedTiming>;
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
}

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
  const identity = readIdentity(config.stateDir);
  const serverKey = openServerKey(config.stateDir);
  const stateFile = join(config.stateDir, 'verdicts');
  const loaded = await loadVerdicts(stateFile, serverKey, log, clock);
  const { known } = loaded;
  const journal = openStateFile(stateFile, loaded, log, clock);
  const trust = trustOf(config, serverCa);
  const verifiesServer = trust.by !== 'nothing';
  if (!verifiesServer)
    log.error(
      'allowAnyServerCertificate is set: whoever answers at serverUrl is taken for the server; never do this outside tests',
    );
  const agent = openServer(trust, identity);
  const held = openHeld();
  const backend = openBackend(config.backendUrl, backendCa);
  const { serverUrl } = config;
  const ask = openAsk({ known, serverUrl, serverKey, agent, clock, log, onVerdicts: held.recheck });
  const gate = openGate({ config, known, backend, held, log, clock, ask });
  const server = openListener(config.tls, gate, log);
  const maxAgeMs = config.maxAgeSeconds * 1000;
  const health = () => healthOf(known, clock(), maxAgeMs, verifiesServer);
  const admin = openAdmin(health);
  const port = await listen(server, config.listenHost, config.listenPort, 'listenPort');
  const adminPort =
    config.adminPort === 0
      ? null
      : await listen(admin, config.adminHost, config.adminPort, 'adminPort').catch(closing(server));
  const feed = followFeed({
    known,
    clock,
    log,
    agent,
    serverUrl,
    serverKey,
    journal,
    verifiesServer,
    wantsSnapshot: journal.wantsSnapshot,
    timing: deps.timing,
    onVerdicts: held.recheck,
  });
  const sayStale = openStaleLog(log);
  const recheck = setInterval(() => {
    held.recheck();
    sayStale(health());
  }, recheckMs);
  log.info(
    { host: config.listenHost, port, adminPort, tls: config.tls !== undefined },
    'the proxy accepts requests',
  );

  const stop = async (): Promise<void> => {
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
    await agent.destroy();
    await journal.close();
  };
  return { port, adminPort, stop, health };
};

const trustOf = (
  { serverPin, allowAnyServerCertificate }: ProxyConfig,
  ca: string | undefined,
): ServerTrust => {
  if (allowAnyServerCertificate) return { by: 'nothing' };
  return serverPin === undefined ? { by: 'ca', ca } : { by: 'pin', pin: serverPin };
};

/** Logs when verdicts become stale and when they no longer are. */
const openStaleLog = (log: Logger) => {
  let was = false;
  return ({ stale, staleRule, lastContactAt }: Health): void => {
    if (stale === was) return;
    was = stale;
    if (!stale) {
      log.info('the server confirms the verdicts again');
      return;
    }
    const then = staleRule === 'deny' ? 'nobody is allowed' : 'devices go on as they were last known';
    log.error({ staleRule, lastContactAt }, `the server has not been heard for too long: ${then}`);
  };
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
