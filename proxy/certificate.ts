/**
 * The certificate that devices see, read from one of its three kinds and found to be usable before it is used. Called by
 * instance.ts at start and whenever the files change; `muster proxy check` reads it too.
 */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createSecureContext, type SecureContextOptions } from 'node:tls';
import { MusterError } from '../platform/errors.ts';
import { createSelfSigned, isDueForRenewal, isIssuedTo, readCertificate } from '../platform/pki.ts';
import { writePrivateFile } from '../platform/private-file.ts';
import type { InstanceConfig } from './config.ts';
import { makeInstanceFolder, ownerAbove } from './state-owner.ts';

type Tls = NonNullable<InstanceConfig['tls']>;

/** What the listener needs, and the certificate itself for whoever asks when it ends. */
export interface ServerCertificate {
  readonly options: SecureContextOptions;
  readonly certificate: X509Certificate;
}

/** What reading a certificate takes besides its settings. */
export interface CertificateParts {
  /** Where certificates of our own are kept. */
  readonly folder: string;
  /** Name of the `tls` setting in faults, for example `instances[0].tls`. */
  readonly field: string;
  readonly now: Date;
}

const fault = (field: string, problem: string, cause?: unknown): MusterError =>
  new MusterError('config-invalid', `${field}: ${problem}`, {
    field,
    ...(cause === undefined ? {} : { cause }),
  });

/** A file named by a setting; throws `config-invalid` with that setting when it cannot be read. */
export const readNamed = (file: string, field: string): Buffer => {
  try {
    return readFileSync(file);
  } catch (cause) {
    throw fault(field, `cannot read ${file}`, cause);
  }
};

/** The files that a kind is read from: a change of one of them asks to read it again. */
export const certificateFiles = (tls: Tls): readonly string[] => {
  if ('selfSigned' in tls) return [];
  if ('pkcs12File' in tls)
    return [tls.pkcs12File, ...(tls.passwordFile === undefined ? [] : [tls.passwordFile])];
  return [tls.certFile, tls.keyFile, ...(tls.chainFile === undefined ? [] : [tls.chainFile])];
};

/** Reads it; throws `config-invalid` naming the setting and what is wrong with it. An expired one is no fault here. */
export const loadCertificate = async (tls: Tls, parts: CertificateParts): Promise<ServerCertificate> => {
  if ('selfSigned' in tls) return ownCertificate(tls.selfSigned.hostName, parts);
  return 'pkcs12File' in tls ? pkcs12Certificate(tls, parts.field) : pemCertificate(tls, parts.field);
};

/** The one made earlier while it fits and is not due for renewal, else a new one. */
const ownCertificate = async (
  hostName: string,
  { folder, now }: CertificateParts,
): Promise<ServerCertificate> => {
  const [certFile, keyFile] = [join(folder, 'tls.crt'), join(folder, 'tls.key')];
  const known = readOwn(certFile, keyFile);
  if (
    known !== undefined &&
    isIssuedTo(known.certificate, hostName) &&
    !isDueForRenewal(known.certificate, now)
  )
    return known;
  const made = createSelfSigned({ commonName: hostName, hosts: [hostName], usage: 'serverAuth' }, now);
  makeInstanceFolder(folder);
  const owner = ownerAbove(folder);
  writePrivateFile(keyFile, made.key, owner);
  writePrivateFile(certFile, made.certificate, owner);
  return {
    options: { cert: made.certificate, key: made.key },
    certificate: new X509Certificate(made.certificate),
  };
};

const readOwn = (certFile: string, keyFile: string): ServerCertificate | undefined => {
  try {
    const [cert, key] = [readFileSync(certFile, 'utf8'), readFileSync(keyFile, 'utf8')];
    const certificate = new X509Certificate(cert);
    // A crash between the two writes leaves a pair that does not match.
    return certificate.checkPrivateKey(createPrivateKey(key))
      ? { options: { cert, key }, certificate }
      : undefined;
  } catch {
    return undefined;
  }
};

const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** What OpenSSL's words about a PKCS#12 file mean. */
const pkcs12Problem = (reason: string): string => {
  if (/mac verify failure/i.test(reason)) return 'the password is wrong';
  if (/unsupported/i.test(reason)) return 'is encrypted in an outdated way; export it again with AES';
  return /private key|certificate/i.test(reason) ? reason : `is no PKCS#12 file (${reason})`;
};

const pkcs12Certificate = (tls: Extract<Tls, { pkcs12File: string }>, field: string): ServerCertificate => {
  const pfx = readNamed(tls.pkcs12File, `${field}.pkcs12File`);
  const password =
    tls.passwordFile === undefined
      ? ''
      : readNamed(tls.passwordFile, `${field}.passwordFile`).toString('utf8');
  const options = { pfx, passphrase: password.split(/\r?\n/)[0] ?? '' };
  try {
    const { context } = createSecureContext(options) as { context: { getCertificate: () => Buffer | null } };
    const der = context.getCertificate();
    if (der === null) throw new Error('there is no certificate in it');
    return { options, certificate: new X509Certificate(der) };
  } catch (cause) {
    const problem = pkcs12Problem(reasonOf(cause));
    const setting =
      /password/.test(problem) && tls.passwordFile !== undefined ? 'passwordFile' : 'pkcs12File';
    throw fault(`${field}.${setting}`, problem, cause);
  }
};

const pemCertificate = (tls: Extract<Tls, { certFile: string }>, field: string): ServerCertificate => {
  const cert = readNamed(tls.certFile, `${field}.certFile`);
  const key = readNamed(tls.keyFile, `${field}.keyFile`);
  const chain = tls.chainFile === undefined ? undefined : readNamed(tls.chainFile, `${field}.chainFile`);
  const certificate = readCertificate(cert.toString('latin1'));
  if (certificate === undefined) throw fault(`${field}.certFile`, 'holds no certificate in PEM');
  if (!certificate.checkPrivateKey(privateKey(key, `${field}.keyFile`)))
    throw fault(`${field}.keyFile`, 'is not the key of the certificate in certFile');
  if (chain !== undefined && readCertificate(chain.toString('latin1')) === undefined)
    throw fault(`${field}.chainFile`, 'holds no certificate in PEM');
  const whole = chain === undefined ? cert : Buffer.concat([cert, Buffer.from('\n'), chain]);
  const options = { cert: whole, key };
  try {
    createSecureContext(options);
  } catch (cause) {
    throw fault(field, reasonOf(cause), cause);
  }
  return { options, certificate };
};

const privateKey = (pem: Buffer, field: string) => {
  try {
    return createPrivateKey(pem);
  } catch (cause) {
    throw fault(field, 'holds no private key in PEM without a password', cause);
  }
};
