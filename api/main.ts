/**
 * The HTTP server: the device protocol on bare node:http, everything else on Express. Called by cli/ and tests.
 */
import { setMaxListeners } from 'node:events';
import {
  createServer as createHttp,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import { createServer as createHttps } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { ServerConfig } from '../platform/config.ts';
import type { Deps } from '../platform/deps.ts';
import { readIssuers } from '../platform/licence.ts';
import { isLoopback } from '../platform/listening.ts';
import { openMailer } from '../platform/mail.ts';
import { openProjectionWaiter } from '../projections/await.ts';
import type { ProjectorState } from '../projections/main.ts';
import { openApp } from './app.ts';
import { openCredentials } from './credentials.ts';
import { openDeadJobs } from './dead-jobs.ts';
import { openDenials } from './denials.ts';
import { deviceRoutes } from './device/main.ts';
import { listen, readTls, stopServer } from './listener.ts';
import { sendProblem } from './problem.ts';
import type { MailExplainer } from './proxy/explain.ts';
import { type FeedInfo, type RunningFeed, startFeed } from './proxy/main.ts';
import { openDoor } from './sign-in/door.ts';

/** The running server. */
export interface RunningApi {
  readonly url: string;
  readonly port: number;
  /** Where EAS proxies follow; undefined when no port was configured for that. */
  readonly proxyFeed: FeedInfo | undefined;
  /** Ends streams, lets requests finish for a bounded time, and closes what was opened here. */
  stop(): Promise<void>;
}

/** What other processes of the same server tell. */
export interface Extra {
  /** The projector, for /readyz; without it another process is taken to project. */
  readonly projections?: { state(): ProjectorState };
  /** The EAS proxy's rules, for explainMailAccess. */
  readonly explainMail?: MailExplainer;
}

const devicePrefix = '/device/v1/';

/**
 * Starts to serve. Rejects with `config-invalid` when it would listen beyond loopback without a certificate, or the
 * certificate or the public keys of licence issuers cannot be read.
 */
export const start = async (config: ServerConfig, deps: Deps, extra: Extra = {}): Promise<RunningApi> => {
  const tls = readTls(config);
  const issuers = await readIssuers(config.licencePublicKeyFile);
  const { log } = deps;
  const stopping = new AbortController();
  // Each stream listens, and there may be many.
  setMaxListeners(0, stopping.signal);
  const credentials = await openCredentials(deps, config);
  const waiter = await openProjectionWaiter(deps);
  const deadJobs = openDeadJobs(deps.queues);
  const denials = openDenials(deps);
  const devices = deviceRoutes(config, deps);
  const { smtpUrl, mailFrom } = config;
  let url = '';
  const door = openDoor(deps, config, {
    tallies: credentials.tallies,
    mailer: smtpUrl === undefined ? undefined : openMailer(smtpUrl, mailFrom),
    listensAt: () => url,
  });
  let feed: RunningFeed | undefined;
  const app = openApp({
    config,
    door,
    deps,
    credentials,
    waiter,
    deadJobs,
    denials,
    issuers,
    stopping: stopping.signal,
    proxyFeed: () => feed,
    explainMail: extra.explainMail,
    projector: extra.projections,
    graphiql: tls === undefined && isLoopback(config.host),
    secure: tls !== undefined,
  });
  const serve = (req: IncomingMessage, res: ServerResponse): void => {
    if (!req.url?.startsWith(devicePrefix)) return void app(req, res);
    devices.handle(req, res).then(
      (taken) => taken || app(req, res),
      (error: unknown) => sendProblem(res, error, { log }),
    );
  };
  const server: Server = tls ? createHttps(tls, serve) : createHttp(serve);
  // For receiving a request; answers, such as endless streams, may take their time.
  server.headersTimeout = 10_000;
  server.requestTimeout = 30_000;
  server.keepAliveTimeout = 65_000;
  const close = async () => {
    stopping.abort();
    await Promise.all([stopServer(server), feed?.stop()]);
    await Promise.all([waiter.close(), deadJobs.close(), denials.close(), door.close()]);
  };
  try {
    const { secrets } = credentials;
    feed = await startFeed({ deps, waiter, secrets, stopping: stopping.signal, config });
    await listen(server, config);
  } catch (error) {
    await close();
    throw error;
  }
  const { port } = server.address() as AddressInfo;
  const host = config.host.includes(':') ? `[${config.host}]` : config.host;
  url = `${tls ? 'https' : 'http'}://${host}:${port}`;
  log.info({ url }, 'serving');
  return { url, port, proxyFeed: feed, stop: close };
};
