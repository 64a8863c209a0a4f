/**
 * How the certificate of a server is judged: by a CA, by a pin, or not at all. Called by forward.ts for the mail server and
 * by instance.ts for the Muster server, to which the instance shows its own certificate.
 */
import { X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { checkServerIdentity, connect as connectTls, type TLSSocket } from 'node:tls';
import { buildConnector } from 'undici';
import { certificateSha256, publicKeySha256 } from '../platform/pki.ts';

/** One way to trust; none of them means the CAs that Node trusts. */
export interface Trust {
  /** PEM of the only CA that is trusted. */
  readonly ca?: string | undefined;
  /** SHA-256, lower-case hex, of the certificate or its public key, or of the authority's that signed it. */
  readonly pin?: string | undefined;
  readonly allowAny?: boolean;
}

const hasPin = (certificate: X509Certificate, pin: string): boolean =>
  certificateSha256(certificate) === pin || publicKeySha256(certificate) === pin;

const isCurrent = (certificate: X509Certificate): boolean =>
  Date.parse(certificate.validFrom) <= Date.now() && Date.now() <= Date.parse(certificate.validTo);

/** `itself`: the pin is the server's own; `authority`: that of one in its chain which really signed for it. */
const pinnedAs = (chain: readonly X509Certificate[], pin: string): 'itself' | 'authority' | null => {
  const [leaf] = chain;
  if (leaf === undefined) return null;
  if (hasPin(leaf, pin)) return 'itself';
  for (let at = 1; at < chain.length; at += 1) {
    const [signed, issuer] = [chain[at - 1] as X509Certificate, chain[at] as X509Certificate];
    if (!issuer.ca || !isCurrent(signed) || !signed.checkIssued(issuer) || !signed.verify(issuer.publicKey))
      return null;
    if (hasPin(issuer, pin)) return 'authority';
  }
  return null;
};

const mostCertificates = 5;

const chainOf = (socket: TLSSocket): readonly X509Certificate[] => {
  const chain: X509Certificate[] = [];
  let next = socket.getPeerCertificate(true);
  while (next?.raw !== undefined && chain.length < mostCertificates) {
    chain.push(new X509Certificate(next.raw));
    if (next.issuerCertificate === next) break;
    next = next.issuerCertificate;
  }
  return chain;
};

/** What a server shows, before anybody decided to trust it. */
export interface ShownCertificate {
  readonly subject: string;
  readonly issuer: string;
  readonly validTo: string;
  /** Whether a CA that Node trusts vouches for it, by that name. */
  readonly isPublic: boolean;
  /** What a setting could pin it by: the public key of its authority, or the certificate where it shows none. */
  readonly pin: string;
}

const lookMs = 10_000;

/** The certificate that a server shows, whoever it is: for people to compare. Throws when nobody speaks TLS there. */
export const certificateAt = (url: URL): Promise<ShownCertificate> =>
  new Promise((resolve, reject) => {
    const host = url.hostname.replace(/^\[|\]$/g, '');
    const socket = connectTls({
      host,
      port: Number(url.port || 443),
      ...(isIP(host) === 0 ? { servername: host } : {}),
      minVersion: 'TLSv1.2',
      rejectUnauthorized: false,
      timeout: lookMs,
    });
    socket.once('timeout', () => socket.destroy(new Error('no answer in time')));
    socket.once('error', reject);
    socket.once('secureConnect', () => {
      const chain = chainOf(socket);
      const isPublic = socket.authorized;
      socket.destroy();
      const [leaf, last] = [chain[0], chain.at(-1)];
      if (leaf === undefined || last === undefined) return reject(new Error('it shows no certificate'));
      const { subject, issuer, validTo } = leaf;
      const pin = last === leaf ? certificateSha256(leaf) : publicKeySha256(last);
      resolve({ subject, issuer, validTo, isPublic, pin });
    });
  });

/** An authority vouches for names, so that what it signed must be made out to `host`; a certificate vouches for itself. */
const matchesPin = (socket: TLSSocket, pin: string, host: string): boolean => {
  const pinned = pinnedAs(chainOf(socket), pin);
  return (
    pinned === 'itself' ||
    (pinned === 'authority' && checkServerIdentity(host, socket.getPeerCertificate()) === undefined)
  );
};

/**
 * Opens connections for undici, showing `identity` when there is one; a server that has not the pin is left before
 * anything is sent.
 */
export const openConnector = (
  { ca, pin, allowAny = false }: Trust,
  identity?: { readonly certificate: string; readonly key: string },
): buildConnector.connector => {
  const connect = buildConnector({
    timeout: 10_000,
    keepAlive: true,
    keepAliveInitialDelay: 60_000,
    minVersion: 'TLSv1.2',
    // A resumed session shows no chain, and a pin has to see one.
    ...(pin === undefined ? {} : { maxCachedSessions: 0 }),
    ...(ca === undefined ? {} : { ca }),
    ...(identity === undefined ? {} : { cert: identity.certificate, key: identity.key }),
    rejectUnauthorized: pin === undefined && !allowAny,
  });
  if (pin === undefined) return connect;
  return (options, callback) =>
    connect(options, (error, socket) => {
      if (error !== null) return callback(error, null);
      if (matchesPin(socket as TLSSocket, pin, options.servername || options.hostname))
        return callback(null, socket);
      socket.destroy();
      callback(new Error('the certificate has another pin'), null);
    });
};
