/**
 * The connection to the Muster server: mutually authenticated TLS, in which the server is known by its CA, by a pin or, if
 * the operator insists, not at all. Called by main.ts; used by feed.ts and ask.ts.
 */
import { X509Certificate } from 'node:crypto';
import type { TLSSocket } from 'node:tls';
import { Agent, buildConnector } from 'undici';
import { certificateSha256, publicKeySha256 } from '../platform/pki.ts';
import type { Identity } from './identity.ts';

/** By what the server is known. */
export type ServerTrust =
  /** PEM of the CA; undefined: the CAs that Node trusts. */
  | { readonly by: 'ca'; readonly ca: string | undefined }
  /** SHA-256, hex, of the server's certificate or public key, or of the authority's that signed it. */
  | { readonly by: 'pin'; readonly pin: string }
  | { readonly by: 'nothing' };

const hasPin = (certificate: X509Certificate, pin: string): boolean =>
  certificateSha256(certificate) === pin || publicKeySha256(certificate) === pin;

/** Whether the pin is the server's, or that of an authority in its chain which really signed for it under this name. */
export const matchesPin = (chain: readonly X509Certificate[], pin: string): boolean => {
  const [leaf] = chain;
  if (leaf === undefined) return false;
  if (hasPin(leaf, pin)) return true;
  for (let at = 1; at < chain.length; at += 1) {
    const [signed, issuer] = [chain[at - 1] as X509Certificate, chain[at] as X509Certificate];
    if (!issuer.ca || !signed.checkIssued(issuer) || !signed.verify(issuer.publicKey)) return false;
    if (hasPin(issuer, pin)) return true;
  }
  return false;
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

/** A client of the server; `destroy` it at the end. */
export const openServer = (trust: ServerTrust, { certificate, key }: Identity): Agent => {
  const connectTo = buildConnector({
    timeout: 10_000,
    cert: certificate,
    key,
    minVersion: 'TLSv1.2',
    // A resumed session shows no chain to look at.
    maxCachedSessions: 0,
    rejectUnauthorized: trust.by === 'ca',
    ...(trust.by === 'ca' && trust.ca !== undefined ? { ca: trust.ca } : {}),
  });
  const connect: buildConnector.connector = (options, done) =>
    connectTo(options, (error, socket) => {
      if (error !== null) return done(error, null);
      if (trust.by !== 'pin' || matchesPin(chainOf(socket as TLSSocket), trust.pin))
        return done(null, socket);
      socket.destroy();
      done(new Error('the server’s certificate has another pin'), null);
    });
  return new Agent({ headersTimeout: 15_000, bodyTimeout: 0, connect });
};
