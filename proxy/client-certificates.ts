/**
 * The certificates that devices must show to an instance: what its listener asks for in the handshake, and what a request
 * may be told of its connection's certificate. Opened by instance.ts; asked by gate.ts for every request and again for
 * held ones, so that a revocation ends them too.
 *
 * A handshake without a good certificate still succeeds and its requests are refused with 403: mail apps show that as "no
 * access", while a broken handshake looks like a broken network, and only a request says whom it was for.
 */
import { constants, type X509Certificate } from 'node:crypto';
import {
  createSecureContext,
  type DetailedPeerCertificate,
  type SecureContextOptions,
  TLSSocket,
} from 'node:tls';
import { MusterError } from '../platform/errors.ts';
import { readNamed } from './certificate.ts';
import { type CertificateNames, namesOf } from './certificate-names.ts';
import type { InstanceConfig } from './config.ts';
import { readCertificates, readRevoked, revocationKey } from './crl.ts';

type Settings = NonNullable<InstanceConfig['clientCertificates']>;

/** What rules may know of a connection's certificate. */
export interface ShownCertificate {
  /** Why it is not accepted, or null. */
  readonly problem: string | null;
  readonly names: CertificateNames;
  /** Whether the names have to fit the request. */
  readonly isBound: boolean;
}

/** The trust of one instance, kept current by reload.ts. */
export interface ClientCertificates {
  readonly files: readonly string[];
  /** For the listener's context; changes with `reload`. */
  readonly contextOptions: () => SecureContextOptions;
  /** What the client of this connection showed, as of now (ms since the epoch). */
  readonly shownBy: (socket: unknown, now: number) => ShownCertificate;
  /** What a certificate (PEM) would count for, for explain.ts: chains over other CAs than the chosen ones are not followed. */
  readonly judge: (pem: string, now: number) => ShownCertificate;
  /** Reads the files again, true when they differ. Throws `config-invalid` and keeps the old ones when they are no good. */
  readonly reload: () => boolean;
}

interface Trusted {
  readonly ca: string;
  readonly crl: string | undefined;
  readonly authorities: readonly X509Certificate[];
  readonly revoked: ReadonlySet<string>;
}

/** What a connection showed at its handshake. */
interface Shown {
  readonly problem: string | null;
  readonly names: CertificateNames;
  readonly key: string;
  readonly expiresAt: number;
  /** Fingerprints of the certificate's issuers, as far as they were found. */
  readonly chain: readonly string[];
}

const nothing: CertificateNames = { names: [], deviceIds: [] };
const refused = (problem: string): Shown => ({
  problem,
  names: nothing,
  key: '',
  expiresAt: Number.POSITIVE_INFINITY,
  chain: [],
});

const readTrusted = ({ caFile, crlFile }: Settings, field: string): Trusted => {
  const fault = (setting: string, problem: string) =>
    new MusterError('config-invalid', `${field}.${setting}: ${problem}`, { field: `${field}.${setting}` });
  const ca = readNamed(caFile, `${field}.caFile`).toString('latin1');
  const crl = crlFile === undefined ? undefined : readNamed(crlFile, `${field}.crlFile`).toString('latin1');
  const authorities = readCertificates(ca);
  if (authorities === undefined) throw fault('caFile', 'holds no certificate in PEM');
  const revoked = crl === undefined ? new Set<string>() : readRevoked(crl);
  if (revoked === undefined) throw fault('crlFile', 'holds no revocation list in PEM');
  try {
    createSecureContext({ ca, ...(crl === undefined ? {} : { crl }) });
  } catch (cause) {
    throw new MusterError('config-invalid', `${field}: ${cause instanceof Error ? cause.message : cause}`, {
      cause,
      field,
    });
  }
  return { ca, crl, revoked, authorities };
};

/** OpenSSL's codes (X509_V_ERR_…) that an operator meets, in words; others are shown as they are. */
const problems: Readonly<Record<string, string>> = {
  CERT_REVOKED: 'the certificate is revoked',
  CERT_HAS_EXPIRED: 'the certificate has expired',
  CERT_NOT_YET_VALID: 'the certificate is not valid yet',
  CRL_HAS_EXPIRED: 'the revocation list has expired: crlFile needs a newer one',
  UNABLE_TO_GET_CRL: 'crlFile has no list of the CA that issued the certificate',
  INVALID_PURPOSE: 'the certificate is not made for clients',
};
const problemOf = (code: string): string =>
  problems[code] ?? `the certificate is not of the chosen CA (${code})`;

const shownAtHandshake = (socket: TLSSocket): Shown => {
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined) return refused('the client shows no certificate');
  if (!socket.authorized) return refused(problemOf(String(socket.authorizationError)));
  return acceptedAs(certificate, chainOf(socket));
};

const acceptedAs = (certificate: X509Certificate, chain: readonly string[]): Shown => ({
  problem: null,
  names: namesOf(certificate),
  key: revocationKey(certificate),
  expiresAt: Date.parse(certificate.validTo),
  chain,
});

/** As if it had been shown, with the chosen CA that signed it as its chain. */
const asIfShown = (certificate: X509Certificate, { authorities }: Trusted): Shown => {
  const issuers = authorities.filter((ca) => certificate.checkIssued(ca) && certificate.verify(ca.publicKey));
  return acceptedAs(
    certificate,
    issuers.map(({ fingerprint256 }) => fingerprint256),
  );
};

/** Node's X509Certificate of a peer does not lead to its issuers; the older form does, from what OpenSSL put together. */
const chainOf = (socket: TLSSocket): string[] => {
  const chain: string[] = [];
  let next = socket.getPeerCertificate(true).issuerCertificate as DetailedPeerCertificate | undefined;
  while (next !== undefined && !chain.includes(next.fingerprint256)) {
    chain.push(next.fingerprint256);
    next = next.issuerCertificate;
  }
  return chain;
};

/** Opens it; `field` names the setting in faults. Throws `config-invalid` when a file is no good. */
export const openClientCertificates = (settings: Settings, field: string): ClientCertificates => {
  let trusted = readTrusted(settings, field);
  const known = new WeakMap<TLSSocket, Shown>();

  const shownOf = (socket: unknown): Shown => {
    if (!(socket instanceof TLSSocket)) return refused('the client shows no certificate');
    const found = known.get(socket);
    if (found !== undefined) return found;
    const shown = shownAtHandshake(socket);
    known.set(socket, shown);
    return shown;
  };

  const problemNow = (shown: Shown, now: number): string | null => {
    if (shown.problem !== null) return shown.problem;
    if (shown.expiresAt < now) return problemOf('CERT_HAS_EXPIRED');
    if (trusted.revoked.has(shown.key)) return problemOf('CERT_REVOKED');
    // Also what the listener's own PKCS#12 file made OpenSSL trust, and a CA that was replaced meanwhile.
    return trusted.authorities.some(({ fingerprint256 }) => shown.chain.includes(fingerprint256))
      ? null
      : problemOf('UNABLE_TO_VERIFY_LEAF_SIGNATURE');
  };

  return {
    files: [settings.caFile, ...(settings.crlFile === undefined ? [] : [settings.crlFile])],
    contextOptions: () => ({
      ca: trusted.ca,
      ...(trusted.crl === undefined ? {} : { crl: trusted.crl }),
      // A resumed session would bring its verdict of yesterday with it.
      secureOptions: constants.SSL_OP_NO_TICKET,
    }),
    shownBy: (socket, now) => {
      const shown = shownOf(socket);
      return { problem: problemNow(shown, now), names: shown.names, isBound: settings.bindDevice };
    },
    judge: (pem, now) => {
      const certificate = readCertificates(pem)?.[0];
      const shown =
        certificate === undefined
          ? refused('the certificate cannot be read')
          : asIfShown(certificate, trusted);
      return { problem: problemNow(shown, now), names: shown.names, isBound: settings.bindDevice };
    },
    reload: () => {
      const next = readTrusted(settings, field);
      const differs = next.ca !== trusted.ca || next.crl !== trusted.crl;
      trusted = next;
      return differs;
    },
  };
};
