/**
 * The certificate that the event store serves with: a given one, or one of its own authority in the data folder.
 * Called by embedded/main.ts before the store starts over TLS.
 */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { MusterError } from '../../../platform/errors.ts';
import type { Logger } from '../../../platform/log.ts';
import {
  createAuthority,
  daysLeft,
  isDueForRenewal,
  isIssuedTo,
  issueServerCertificate,
  type KeyPairPem,
  readCertificate,
} from '../../../platform/pki.ts';

/** What the store serves with. `caFile` is what clients verify it against; without one they know the authority already. */
export interface ServerCertificate {
  readonly certificate: Buffer;
  readonly key: Buffer;
  readonly caFile: string | undefined;
}

const alwaysServed = ['localhost', '127.0.0.1', '::1'];
const isWildcard = (host: string): boolean => host === '0.0.0.0' || host === '::';
const warnBelowDays = 90;

/** The address under which clients find a server that listens on `host`. */
export const addressFor = (host: string): string => (isWildcard(host) ? hostname() : host);

/** Names that the certificate of a server is made out to: this machine's own, and how others reach it. */
export const certificateHosts = (host: string, advertisedHost: string): string[] => [
  ...new Set([...alwaysServed, addressFor(host), advertisedHost]),
];

const filesIn = (folder: string, name: string) => ({
  certificate: join(folder, `${name}.crt`),
  key: join(folder, `${name}.key`),
});

/** Whole or not at all: a crash leaves no half certificate behind. */
const writeWhole = (path: string, text: string, mode: number): void => {
  writeFileSync(`${path}.new`, text, { mode });
  renameSync(`${path}.new`, path);
};

/** The key first: a certificate that is there always has its key. */
const keep = (folder: string, name: string, pair: KeyPairPem): void => {
  const files = filesIn(folder, name);
  writeWhole(files.key, pair.key, 0o600);
  writeWhole(files.certificate, pair.certificate, 0o644);
};

const readText = (path: string): string | undefined =>
  existsSync(path) ? readFileSync(path, 'utf8') : undefined;

const belongTogether = (certificate: X509Certificate | undefined, key: string | undefined): boolean => {
  try {
    return (
      certificate !== undefined && key !== undefined && certificate.checkPrivateKey(createPrivateKey(key))
    );
  } catch {
    return false;
  }
};

/** An authority whose key may be kept elsewhere. */
type Authority = Pick<KeyPairPem, 'certificate'> & Partial<KeyPairPem>;

const openAuthority = async (folder: string, now: Date, log: Logger): Promise<Authority> => {
  const files = filesIn(folder, 'ca');
  const certificate = readText(files.certificate);
  if (certificate === undefined) {
    const made = await createAuthority('Muster event store CA', now);
    keep(folder, 'ca', made);
    log.info({ file: files.certificate }, 'made a certificate authority for the event store');
    return made;
  }
  const read = readCertificate(certificate);
  const left = read ? daysLeft(read, now) : -1;
  if (left <= 0)
    throw new MusterError(
      'config-invalid',
      `${files.certificate} cannot be used or has expired; move ${folder} away to begin with a new authority`,
    );
  if (left < warnBelowDays)
    log.warn({ file: files.certificate, daysLeft: Math.floor(left) }, 'the authority expires soon');
  const key = readText(files.key);
  return belongTogether(read, key) ? { certificate, key: key as string } : { certificate };
};

/** Why a certificate cannot be served with any longer; undefined while it can. */
const faultOf = (
  { certificate, key }: { certificate: string | undefined; key: string | undefined },
  authority: string,
  hosts: readonly string[],
  now: Date,
): string | undefined => {
  const read = certificate === undefined ? undefined : readCertificate(certificate);
  if (!read) return 'there is none';
  if (!belongTogether(read, key)) return 'its key is missing';
  if (!read.verify(new X509Certificate(authority).publicKey)) return 'another authority issued it';
  const missing = hosts.find((host) => !isIssuedTo(read, host));
  if (missing !== undefined) return `it does not name ${missing}`;
  return isDueForRenewal(read, now) ? 'it expires soon' : undefined;
};

/**
 * The store's own certificate for `hosts` from `<dataDir>/event-store/tls`, made or renewed where needed.
 * Throws `config-invalid` when that takes the authority's key and it is not there.
 */
export const ownCertificate = async (
  dataDir: string,
  hosts: readonly string[],
  now: Date,
  log: Logger,
): Promise<ServerCertificate> => {
  const folder = join(dataDir, 'event-store', 'tls');
  mkdirSync(folder, { recursive: true, mode: 0o755 });
  const authority = await openAuthority(folder, now, log);
  const files = filesIn(folder, 'server');
  const present = { certificate: readText(files.certificate), key: readText(files.key) };
  const fault = faultOf(present, authority.certificate, hosts, now);
  if (fault !== undefined) {
    const { certificate, key } = authority;
    if (key === undefined)
      throw new MusterError(
        'config-invalid',
        `A new server certificate is needed (${fault}) and ${join(folder, 'ca.key')} is missing or not the authority's`,
      );
    keep(folder, 'server', await issueServerCertificate({ certificate, key }, hosts, now));
    log.info({ file: files.certificate, hosts, because: fault }, 'issued a certificate to the event store');
  }
  return {
    certificate: readFileSync(files.certificate),
    key: readFileSync(files.key),
    caFile: filesIn(folder, 'ca').certificate,
  };
};
