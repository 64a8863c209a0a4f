/**
 * The configuration file that `muster proxy init` writes: the given settings in YAML, each with what it is for. Called by
 * init.ts; the proxy's own parser takes it as it is.
 */

/** How a server's certificate is known; null: by a public CA. */
export type GivenTrust = { readonly pin: string } | { readonly caFile: string } | null;

export type GivenTls =
  | { readonly selfSigned: { readonly hostName: string } }
  | { readonly pkcs12File: string; readonly passwordFile?: string }
  | { readonly certFile: string; readonly keyFile: string; readonly chainFile?: string };

/** One instance as it was asked for. */
export interface GivenInstance {
  readonly name: string;
  readonly listenHost: string;
  readonly listenPort: number;
  readonly publicUrl: string;
  /** Null: what stands in front has the certificate. */
  readonly tls: GivenTls | null;
  readonly backendUrl: string;
  readonly backendTrust: GivenTrust;
}

/** Everything that was asked for. */
export interface GivenSettings {
  readonly serverUrl: string;
  readonly serverTrust: GivenTrust;
  readonly stateDir: string;
  readonly adminPort: number;
  readonly instances: readonly GivenInstance[];
}

/** A value as JSON, of which YAML takes everything. */
const value = (given: unknown): string => JSON.stringify(given);

const serverTrustLine = (trust: GivenTrust): string => {
  if (trust === null) return '# serverPin: only when no public CA signed its certificate';
  return 'pin' in trust ? `serverPin: ${value(trust.pin)}` : `serverCaFile: ${value(trust.caFile)}`;
};

const backendTrustLine = (trust: GivenTrust): string => {
  if (trust === null) return '# caFile: or pin, when no public CA signed its certificate';
  return 'pin' in trust ? `pin: ${value(trust.pin)}` : `caFile: ${value(trust.caFile)}`;
};

const instanceText = (instance: GivenInstance): string => `
  - name: ${value(instance.name)}
    # Beyond loopback only with tls.
    listenHost: ${value(instance.listenHost)}
    listenPort: ${instance.listenPort}
    # What devices know it as.
    publicUrl: ${value(instance.publicUrl)}
    ${
      instance.tls === null
        ? '# No tls: whatever stands in front of it has the certificate.'
        : `# The certificate that devices see.\n    tls: ${value(instance.tls)}`
    }
    # The mail server.
    backend:
      url: ${value(instance.backendUrl)}
      ${backendTrustLine(instance.backendTrust)}
`;

/** The file. */
export const settingsText = (
  given: GivenSettings,
): string => `# The EAS proxy. Every setting: docs/reference/proxy.md.

# The Muster server's listener for proxies, as GraphQL shows it: { proxyFeed { url pin authorityPem } }.
serverUrl: ${value(given.serverUrl)}
# How its certificate is known: without a pin or a CA it must be signed by a public one.
${serverTrustLine(given.serverTrust)}

# Where identities and verdicts are kept, a folder for each instance. The keys in it are this proxy's credentials.
stateDir: ${value(given.stateDir)}

# Health, metrics and explanations on loopback; 0 is off.
adminPort: ${given.adminPort}

# Seconds that verdicts are good for without the server; at least 3600.
# maxAgeSeconds: 86400

instances:
  # One for each mail server or tenant. The name is also that of its folder below stateDir.${given.instances
    .map(instanceText)
    .join('')}`;
