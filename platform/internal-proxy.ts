/**
 * Up to how many devices a proxy may share the server's process. Called by cli/internal-proxy.ts at the start and
 * by api/graphql/proxy.ts ever after.
 */

/** Devices of an instance that the proxy inside the server is meant for. */
export const internalDevices = 500;

/** What an operator is told of `devices` behind a proxy inside the server; null while all is well. */
export const internalProxyAdvice = (devices: number): string | null =>
  devices > internalDevices
    ? `${devices} devices are behind a proxy inside the server, which is meant for up to ${internalDevices}: run muster proxy on a machine of its own.`
    : null;
