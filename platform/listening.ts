/**
 * What every listening part decides alike: who can reach an address, and whether a certificate fits its key.
 * Called by the API, the EAS proxy's settings and the embedded event store.
 */
import { readFileSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import { MusterError } from './errors.ts';

/** Whether only this machine can reach an address. */
export const isLoopback = (host: string): boolean =>
  /^(localhost|::1|\[::1\]|127(\.\d{1,3}){3})$/i.test(host);

const readPem = (file: string, variable: string): Buffer => {
  try {
    return readFileSync(file);
  } catch (cause) {
    throw new MusterError('config-invalid', `${variable}: ${file} cannot be read`, { cause });
  }
};

/** Where a certificate chain and its key are, and the variables that say so. */
export interface CertificateFiles {
  readonly certificate: { readonly file: string | undefined; readonly variable: string };
  readonly key: { readonly file: string | undefined; readonly variable: string };
}

/** Both files, read and found to belong together; undefined when none is named. Else `config-invalid`. */
export const readCertificateFiles = ({
  certificate,
  key,
}: CertificateFiles): { cert: Buffer; key: Buffer } | undefined => {
  if (certificate.file === undefined && key.file === undefined) return undefined;
  if (certificate.file === undefined || key.file === undefined)
    throw new MusterError(
      'config-invalid',
      `${certificate.variable} and ${key.variable} are needed together`,
    );
  const pair = {
    cert: readPem(certificate.file, certificate.variable),
    key: readPem(key.file, key.variable),
  };
  try {
    createSecureContext(pair);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new MusterError('config-invalid', `${certificate.variable} or ${key.variable}: ${reason}`, {
      cause,
    });
  }
  return pair;
};
