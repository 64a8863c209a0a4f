/**
 * The configuration file that `muster proxy init` writes where there is none. Called by set-up.ts; the proxy's own parser
 * takes it as it is.
 */

/** YAML with one instance; `stateDir` is an absolute path. */
export const exampleConfig = (
  stateDir: string,
): string => `# The EAS proxy. Every setting: docs/reference/proxy.md.
# What is commented out is optional; the rest must fit your network.

# The Muster server's listener for proxies, as GraphQL shows it: { proxyFeed { url pin authorityPem } }.
serverUrl: https://muster.example.org:8443
# How its certificate is known, one of the two; without both it must be signed by a public CA.
# serverPin: the pin of proxyFeed, 64 hexadecimal digits
# serverCaFile: /etc/muster/server-ca.pem

# Where identities and verdicts are kept, a folder for each instance. The keys in it are this proxy's credentials.
stateDir: ${JSON.stringify(stateDir)}

# Health at http://127.0.0.1:<adminPort>/healthz; 0 is off.
# adminPort: 9090

# Seconds that verdicts are good for without the server; at least 3600.
# maxAgeSeconds: 86400

instances:
  # One for each mail server or tenant. The name is also that of its folder below stateDir.
  - name: mail
    # Beyond loopback only with tls.
    listenHost: 127.0.0.1
    listenPort: 8443
    # What devices know it as.
    publicUrl: https://mail.example.org
    # tls: { certFile: /etc/muster/mail.crt, keyFile: /etc/muster/mail.key }
    # tls: { pkcs12File: /etc/muster/mail.p12, passwordFile: /etc/muster/mail.password }
    # tls: { selfSigned: { hostName: mail.example.org } }
    backend:
      url: https://exchange.internal.example.org
      # caFile: /etc/muster/internal-ca.pem
`;
