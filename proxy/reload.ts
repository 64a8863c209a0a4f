/**
 * Keeps the certificate of a listener and its trust in client certificates current: read again when asked to and when
 * their files have changed, put in place without dropping a connection; a set that cannot be used leaves the old one in
 * place. Called by instance.ts.
 */
import { statSync } from 'node:fs';

import type { Server } from 'node:net';
import type { SecureContextOptions, Server as TlsServer } from 'node:tls';
import type { Clock } from '../platform/clock.ts';
import type { Logger } from '../platform/log.ts';
import {
  type CertificateParts,
  certificateFiles,
  loadCertificate,
  type ServerCertificate,
} from './certificate.ts';
import type { ClientCertificates } from './client-certificates.ts';
import type { InstanceConfig } from './config.ts';

/** A certificate that is kept current. */
export interface KeptCertificate {
  /** When the one in use ends (ISO 8601, UTC). */
  readonly expiresAt: () => string;
  /** Reads it again now; never throws, what is wrong is logged. */
  readonly reload: () => Promise<void>;
  readonly stop: () => void;
}

/** Files are looked at this often: watching them misses changes on network file systems and of mounted secrets. */
const lookMs = 10_000;
/** A certificate of our own is due some time; asking costs two small reads. */
const renewMs = 3_600_000;

/** What changes when any of the files does; a missing file is a state too. */
const stateOf = (files: readonly string[]): string =>
  files
    .map((file) => {
      const stat = statSync(file, { throwIfNoEntry: false });
      return stat === undefined ? 'none' : `${stat.ino} ${stat.size} ${stat.mtimeMs}`;
    })
    .join('\n');

const isoOf = ({ certificate }: ServerCertificate): string => new Date(certificate.validTo).toISOString();

const warnWhenExpired = (shown: ServerCertificate, now: number, log: Logger): void => {
  const expiresAt = isoOf(shown);
  if (Date.parse(expiresAt) <= now) log.warn({ expiresAt }, 'the certificate that devices see has expired');
};

export interface KeepParts extends Omit<CertificateParts, 'now'> {
  readonly server: Server;
  readonly tls: NonNullable<InstanceConfig['tls']>;
  readonly first: ServerCertificate;
  readonly clientCertificates: ClientCertificates | null;
  /** Told when connections may have to be judged anew. */
  readonly onTrust: () => void;
  readonly clock: Clock;
  readonly log: Logger;
}

/** What the listener's context is made of. */
export const contextOf = (
  { options }: ServerCertificate,
  clientCertificates: ClientCertificates | null,
): SecureContextOptions => ({ ...options, ...clientCertificates?.contextOptions(), minVersion: 'TLSv1.2' });

/** Starts to keep `first` current. */
export const keepCertificate = (parts: KeepParts): KeptCertificate => {
  const { server, tls, clientCertificates, folder, field, clock, log } = parts;
  const files = [...certificateFiles(tls), ...(clientCertificates?.files ?? [])];
  let shown = parts.first;
  let state = stateOf(files);
  warnWhenExpired(shown, clock(), log);
  const reloadShown = async (): Promise<boolean> => {
    try {
      const next = await loadCertificate(tls, { folder, field, now: new Date(clock()) });
      warnWhenExpired(next, clock(), log);
      if (next.certificate.fingerprint256 === shown.certificate.fingerprint256) return false;
      shown = next;
      log.info({ expiresAt: isoOf(next) }, 'a new certificate is shown to devices');
      return true;
    } catch (error) {
      log.error({ err: error }, 'the new certificate cannot be used; the old one stays');
      return false;
    }
  };
  const reloadTrust = (): boolean => {
    try {
      if (clientCertificates?.reload() !== true) return false;
      log.info('client certificates are judged by a new CA or revocation list');
      return true;
    } catch (error) {
      log.error({ err: error }, 'the new CA or revocation list cannot be used; the old one stays');
      return false;
    }
  };
  const reload = async (): Promise<void> => {
    state = stateOf(files);
    const [isShownNew, isTrustNew] = [await reloadShown(), reloadTrust()];
    if (isShownNew || isTrustNew)
      (server as TlsServer).setSecureContext(contextOf(shown, clientCertificates));
    if (isTrustNew) parts.onTrust();
  };
  const look = setInterval(() => {
    if (stateOf(files) !== state) void reload();
  }, lookMs);
  const renew = setInterval(() => void reload(), renewMs);
  return {
    expiresAt: () => isoOf(shown),
    reload,
    stop: () => {
      clearInterval(look);
      clearInterval(renew);
    },
  };
};
