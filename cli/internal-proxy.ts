/**
 * The EAS proxy inside `muster serve`, for small sites: the same proxy with the same configuration file and registration,
 * in the server's own process. Started last and so stopped first by server.ts: it drains while the server still answers.
 */
import { MusterError } from '../platform/errors.ts';
import { internalDevices, internalProxyAdvice } from '../platform/internal-proxy.ts';
import type { Logger } from '../platform/log.ts';
import { permissionAdvice, readProxyConfig } from '../proxy/config-file.ts';
import * as proxy from '../proxy/main.ts';

/** A running one: where its instances listen. */
export interface InternalProxy {
  readonly instances: readonly { readonly name: string; readonly port: number }[];
  /** Reads certificates again and opens the access log anew, as `muster proxy` does on SIGHUP. */
  reload(): Promise<void>;
  stop(): Promise<void>;
}

const adviseEveryMs = 10 * 60_000;

/** Starts it. Throws `config-invalid`, also when the server has no listener for proxies to follow. */
export const startInternalProxy = async (
  configFile: string,
  hasFeed: boolean,
  log: Logger,
): Promise<InternalProxy> => {
  if (!hasFeed)
    throw new MusterError(
      'config-invalid',
      'MUSTER_INTERNAL_PROXY_CONFIG needs MUSTER_PROXY_FEED_PORT: the proxy follows its verdicts there',
      { field: 'MUSTER_PROXY_FEED_PORT' },
    );
  const own = log.child({ part: 'proxy' });
  const advice = permissionAdvice(configFile);
  if (advice !== undefined) own.warn(advice);
  const running = await proxy.start(readProxyConfig(configFile), { log: own, internal: true });
  const countDevices = (): number => running.instances.reduce((sum, { health }) => sum + health().devices, 0);
  own.info(
    { devices: countDevices(), mostDevices: internalDevices },
    'the proxy runs inside the server: good for small sites; for more devices run muster proxy on a machine of its own',
  );
  let said: string | null = null;
  const advise = (): void => {
    const now = internalProxyAdvice(countDevices());
    if (now !== null && said === null) own.warn(now);
    said = now;
  };
  advise();
  // The first verdicts come later, and fleets grow.
  const advising = setInterval(advise, adviseEveryMs);
  advising.unref();
  return {
    instances: running.instances.map(({ name, port }) => ({ name, port })),
    reload: running.reload,
    stop: async () => {
      clearInterval(advising);
      await running.stop();
    },
  };
};
