/**
 * What the feed of EAS proxies proves itself by: its TLS certificate and the key that signs its batches. Called by
 * api/proxy/main.ts.
 *
 * Without files of one's own an authority in the data folder (`proxy-feed/`) signs the certificate; proxies trust the
 * authority, so that a renewed certificate needs nothing from them. The signing key is one for the installation, sealed
 * in the database, so that every server of it signs alike.
 */
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import type { ServerConfig } from '../../platform/config.ts';
import { readCertificateFiles } from '../../platform/listening.ts';
import {
  createAuthority,
  isDueForRenewal,
  isIssuedTo,
  issueServerCertificate,
  type KeyPairPem,
  publicKeySha256,
  readCertificate,
} from '../../platform/pki.ts';
import { operatorTenantId } from '../../platform/reservation.ts';
import type { SealedSecrets } from '../../platform/sealed-secrets.ts';
import { newSigningKey } from '../../platform/signed-line.ts';

type Settings = Pick<
  ServerConfig,
  'dataDir' | 'proxyFeedHost' | 'proxyFeedNames' | 'proxyFeedTlsCertificateFile' | 'proxyFeedTlsKeyFile'
>;

/** The feed's certificate chain and key, PEM, and what proxies may trust it by. */
export interface FeedCertificate {
  readonly cert: string;
  readonly key: string;
  /** PEM of the last certificate of the chain: the authority, when we made it. */
  readonly authority: string;
  /** SHA-256 of that certificate's public key, hex. */
  readonly pin: string;
}

const pairIn = (folder: string, name: string): KeyPairPem | undefined => {
  const [certificate, key] = [join(folder, `${name}.crt`), join(folder, `${name}.key`)];
  if (!existsSync(certificate) || !existsSync(key)) return undefined;
  return { certificate: readFileSync(certificate, 'utf8'), key: readFileSync(key, 'utf8') };
};

const keep = (folder: string, name: string, pair: KeyPairPem): KeyPairPem => {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  // The key first: a certificate without its key would never be made again.
  writeFileSync(join(folder, `${name}.key`), pair.key, { mode: 0o600 });
  writeFileSync(join(folder, `${name}.crt`), pair.certificate);
  return pair;
};

const isUsable = (pem: string, hosts: readonly string[], now: Date): boolean => {
  const certificate = readCertificate(pem);
  return (
    certificate !== undefined &&
    !isDueForRenewal(certificate, now) &&
    hosts.every((host) => isIssuedTo(certificate, host))
  );
};

/** The names under which proxies reach this machine, unless the operator says which. */
const hostsOf = ({ proxyFeedHost, proxyFeedNames }: Settings): readonly string[] => {
  const bound = /^(0\.0\.0\.0|::|\[::\])$/.test(proxyFeedHost) ? [] : [proxyFeedHost];
  return [
    ...new Set([...proxyFeedNames, ...bound, 'localhost', '127.0.0.1', '::1', hostname().toLowerCase()]),
  ];
};

const chainOf = (pem: string): readonly string[] =>
  pem.match(/-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g) ?? [];

/** The certificate, made or renewed as needed. Rejects with `config-invalid` when files are named that do not fit. */
export const feedCertificate = async (config: Settings, now: Date): Promise<FeedCertificate> => {
  const given = readCertificateFiles({
    certificate: { file: config.proxyFeedTlsCertificateFile, variable: 'MUSTER_PROXY_FEED_TLS_CERT' },
    key: { file: config.proxyFeedTlsKeyFile, variable: 'MUSTER_PROXY_FEED_TLS_KEY' },
  });
  const { cert, key } = given
    ? { cert: given.cert.toString('utf8'), key: given.key.toString('utf8') }
    : await ownCertificate(config, now);
  const authority = chainOf(cert).at(-1) as string;
  return { cert, key, authority, pin: publicKeySha256(new X509Certificate(authority)) };
};

const ownCertificate = async (config: Settings, now: Date): Promise<{ cert: string; key: string }> => {
  const folder = join(config.dataDir, 'proxy-feed');
  const hosts = hostsOf(config);
  const authority =
    pairIn(folder, 'authority') ??
    keep(folder, 'authority', await createAuthority('Muster proxy feed authority', now));
  const known = pairIn(folder, 'server');
  const server =
    known && isUsable(known.certificate, hosts, now)
      ? known
      : keep(folder, 'server', await issueServerCertificate(authority, hosts, now));
  return { cert: `${server.certificate}${authority.certificate}`, key: server.key };
};

const purpose = 'proxy-feed-signing-key';

/** The installation's signing key, made at first use. */
export const feedSigningKey = async (secrets: SealedSecrets): Promise<KeyObject> => {
  const known = await secrets.get(operatorTenantId, purpose);
  if (known === null) await secrets.putFirst(operatorTenantId, purpose, newSigningKey());
  const pem = known ?? (await secrets.get(operatorTenantId, purpose));
  return createPrivateKey(pem as string);
};
