/**
 * Starts and stops `muster proxy`, the ActiveSync gate: all its instances and what they share, which is the clock, the log
 * and the health endpoint. Called by cli/.
 */
import { type Clock, systemClock } from '../platform/clock.ts';
import type { Logger } from '../platform/log.ts';
import { openAdmin, overallHealth, type ProxyHealth } from './admin.ts';
import type { ProxyConfig } from './config.ts';
import type { FeedTiming } from './feed.ts';
import { type RunningInstance, startInstance } from './instance.ts';
import { close, listen } from './listener.ts';

export interface ProxyDeps {
  readonly log: Logger;
  readonly clock?: Clock;
  readonly timing?: Partial<FeedTiming>;
}

/** A proxy that accepts requests. */
export interface RunningProxy {
  /** In the order of the configuration. */
  readonly instances: readonly RunningInstance[];
  /** Null when there is no admin listener. */
  readonly adminPort: number | null;
  /** Reads the certificates of all instances again. */
  readonly reload: () => Promise<void>;
  /** Stops every instance as instance.ts says. */
  readonly stop: () => Promise<void>;
  /** What /healthz says, for a caller in the same process. */
  readonly health: () => ProxyHealth;
}

/**
 * Starts a proxy; `config` from parseProxyConfig. Throws `config-invalid` when a file cannot be read or an address cannot
 * be listened on, and leaves nothing open then. Does not wait for the server: without verdicts it refuses.
 */
export const start = async (config: ProxyConfig, deps: ProxyDeps): Promise<RunningProxy> => {
  const { log, clock = systemClock, timing } = deps;
  if (config.allowAnyServerCertificate)
    log.warn('the certificate of the Muster server is not verified: whoever answers decides who gets mail');
  const instances: RunningInstance[] = [];
  const stopInstances = async () => void (await Promise.all(instances.map((instance) => instance.stop())));
  try {
    for (const index of config.instances.keys())
      instances.push(await startInstance({ config, index, clock, log, timing }));
    const health = () => overallHealth(instances.map(({ name, health: own }) => [name, own()]));
    const admin = openAdmin(health);
    const adminPort =
      config.adminPort === 0 ? null : await listen(admin, config.adminHost, config.adminPort, 'adminPort');
    const stop = async (): Promise<void> => {
      await stopInstances();
      if (adminPort !== null) await close(admin);
    };
    const reload = async () => void (await Promise.all(instances.map((instance) => instance.reload())));
    return { instances, adminPort, reload, stop, health };
  } catch (error) {
    await stopInstances();
    throw error;
  }
};
