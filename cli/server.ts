/**
 * Puts a whole server together: embedded parts as needed, projections, workers, API. Called by serve.ts, demo.ts and
 * simulate.ts.
 */
import { type Bootstrapped, bootstrapOperator } from '../api/bootstrap.ts';
import * as api from '../api/main.ts';
import type { FeedInfo } from '../api/proxy/main.ts';
import { startEmbedded } from '../embedded/main.ts';
import type { ServerConfig } from '../platform/config.ts';
import { type Deps, openDeps } from '../platform/deps.ts';
import { MusterError } from '../platform/errors.ts';
import type { Logger } from '../platform/log.ts';
import * as projections from '../projections/main.ts';
import * as workers from '../workers/main.ts';
import { explainMail } from './explain-mail.ts';
import { type InternalProxy, startInternalProxy } from './internal-proxy.ts';
import { announce, findRunning, withdraw } from './running.ts';

/** A running server. `failed` resolves when a part of it cannot go on. */
export interface RunningServer {
  readonly url: string;
  /** Where EAS proxies follow; undefined when no port was configured for that. */
  readonly proxyFeed: FeedInfo | undefined;
  /** Undefined: proxies run elsewhere. */
  readonly internalProxy: InternalProxy | undefined;
  readonly deps: Deps;
  readonly operator: Bootstrapped;
  readonly failed: Promise<Error>;
  stop(): Promise<void>;
}

type Stoppable = { stop(): Promise<void> };

/** Starts everything in order; whatever was started is stopped again when a later part fails. */
export const startServer = async (config: ServerConfig, log: Logger): Promise<RunningServer> => {
  const other = findRunning(config.dataDir);
  if (other && other.pid !== process.pid) {
    throw new MusterError(
      'data-dir-in-use',
      `Process ${other.pid} serves ${config.dataDir} at ${other.url}.`,
    );
  }
  const started: Stoppable[] = [];
  const stop = async () => {
    withdraw(config.dataDir);
    for (const part of started.splice(0).reverse()) await part.stop();
  };
  const keep = <T extends Stoppable>(part: T): T => {
    started.push(part);
    return part;
  };
  try {
    const { dataDir, redisUrl, cachedAggregates } = config;
    const addresses = keep(await startEmbedded(config, { log }));
    const deps = await openDeps({ ...addresses, redisUrl, cachedAggregates }, log);
    keep({ stop: deps.close });
    const readSide = keep(await projections.start(config, deps));
    const operator = await bootstrapOperator(deps);
    const jobs = keep(await workers.start(config, deps));
    const { url, proxyFeed } = keep(await api.start(config, deps, { projections: readSide, explainMail }));
    announce(dataDir, {
      pid: process.pid,
      url,
      databaseUrl: addresses.databaseUrl,
      eventStoreUrl: addresses.eventStoreUrl,
      eventStoreDatabaseUrl: addresses.eventStoreDatabaseUrl,
    });
    const internalProxy =
      config.internalProxyConfigFile === undefined
        ? undefined
        : keep(await startInternalProxy(config.internalProxyConfigFile, proxyFeed !== undefined, log));
    return {
      url,
      proxyFeed,
      internalProxy,
      deps,
      operator,
      failed: Promise.race([readSide.failed, jobs.failed, addresses.failed]),
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
};
