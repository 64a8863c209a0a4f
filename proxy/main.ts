/**
 * Starts and stops `muster proxy`, the ActiveSync gate: all its instances and what they share, which is the clock, the
 * logs, the metrics and the admin listener. Called by cli/.
 */
import { setTimeout as wait } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { type Clock, systemClock } from '../platform/clock.ts';
import type { Logger } from '../platform/log.ts';
import { openAdmin, overallHealth, type ProxyHealth, readinessOf } from './admin.ts';
import type { ProxyConfig } from './config.ts';
import type { FeedTiming } from './feed.ts';
import { type InstanceParts, type RunningInstance, startInstance } from './instance.ts';
import { close, listen } from './listener.ts';
import { openOperations } from './operations.ts';
import type { ReportTiming } from './report.ts';

export interface ProxyDeps {
  readonly log: Logger;
  readonly clock?: Clock;
  readonly timing?: Partial<FeedTiming>;
  readonly reportTiming?: Partial<ReportTiming>;
  /** How often held requests are decided again because time passes. */
  readonly recheckMs?: number;
  readonly listenerTiming?: InstanceParts['listenerTiming'];
  /** Whether it shares the process of the server. */
  readonly internal?: boolean;
}

/** A proxy that accepts requests. */
export interface RunningProxy {
  /** In the order of the configuration. */
  readonly instances: readonly RunningInstance[];
  /** Null when there is no admin listener. */
  readonly adminPort: number | null;
  /** Reads the certificates of all instances again and opens the access log anew, after somebody moved its file away. */
  readonly reload: () => Promise<void>;
  /**
   * Makes the proxy fit to be taken away: says so for the delay while it serves on, then ends every instance's traffic as
   * instance.ts says. Repetitions await the same end. Health and metrics stay until it is stopped.
   */
  readonly drain: () => Promise<void>;
  /** Drains and stops. */
  readonly stop: () => Promise<void>;
  /** What /healthz says, for a caller in the same process. */
  readonly health: () => ProxyHealth;
}

/**
 * Starts a proxy; `config` from parseProxyConfig. Throws `config-invalid` when a file cannot be read or an address cannot
 * be listened on, and leaves nothing open then. Does not wait for the server: without verdicts it refuses.
 */
export const start = async (config: ProxyConfig, deps: ProxyDeps): Promise<RunningProxy> => {
  const { log, clock = systemClock, internal = false, ...waits } = deps;
  // V8 takes the objects of a request for long-lived ones, for under load many are in flight whenever it looks, and allocates
  // them where only a full collection frees them and all that they point at: a fifth of the proxy's processor time.
  setFlagsFromString('--no-allocation-site-pretenuring');
  // A proxy's heap is small, for verdicts lie outside it, and V8 lets a small one that was quiet for a moment grow by a megabyte
  // or two between full collections: under load several a second, each of which holds up requests for tens of milliseconds. The
  // server's heap is another matter.
  if (!internal) setFlagsFromString('--heap-growing-percent=100');
  if (config.allowAnyServerCertificate)
    log.warn('the certificate of the Muster server is not verified: whoever answers decides who gets mail');
  const instances: RunningInstance[] = [];
  const operations = openOperations({
    log,
    clock,
    settings: config.log,
    internal,
    instances: () => instances.map(({ figures }) => figures()),
  });
  const stopAll = async (): Promise<void> => {
    await Promise.all(instances.map((instance) => instance.stop()));
    await operations.stop();
  };
  try {
    for (const index of config.instances.keys())
      instances.push(await startInstance({ config, index, clock, log, operations, ...waits }));
    const health = () => overallHealth(instances.map(({ name, health: own }) => [name, own()]));
    const endTraffic = async (): Promise<void> => {
      log.info({ delaySeconds: config.drainDelaySeconds }, 'the proxy drains');
      for (const instance of instances) instance.announceDrain();
      if (config.drainDelaySeconds > 0) await wait(config.drainDelaySeconds * 1_000);
      await Promise.all(instances.map((instance) => instance.drain()));
      log.info('the proxy is drained');
    };
    let drained: Promise<void> | undefined;
    const drain = (): Promise<void> => {
      drained ??= endTraffic();
      return drained;
    };
    const admin = openAdmin({
      health,
      readiness: () => {
        const each = instances.map(({ name, health: own }) => readinessOf(name, own()));
        return { ready: each.every(({ ready }) => ready), instances: each };
      },
      metrics: operations.metrics,
      explain: (wanted, input) => {
        const only = instances.length === 1 ? instances[0] : undefined;
        const asked = wanted === null ? only : instances.find(({ name }) => name === wanted);
        return asked?.explain(input);
      },
      drain,
    });
    const adminPort =
      config.adminPort === 0 ? null : await listen(admin, config.adminHost, config.adminPort, 'adminPort');
    const stop = async (): Promise<void> => {
      await drain();
      await stopAll();
      if (adminPort !== null) await close(admin);
    };
    const reload = async (): Promise<void> => {
      operations.reopenLog();
      await Promise.all(instances.map((instance) => instance.reload()));
    };
    return { instances, adminPort, reload, drain, stop, health };
  } catch (error) {
    await stopAll();
    throw error;
  }
};
