/**
 * Who an instance of the proxy is: a key and a certificate that signs itself, `identity.key` and `identity.crt` in its
 * state folder. The operator registers the certificate in Muster; TLS then proves the key. Called by `muster proxy export`
 * and by instance.ts.
 */
import { X509Certificate } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { MusterError } from '../platform/errors.ts';
import { readCertificateFiles } from '../platform/listening.ts';
import { certificateSha256, createSelfSigned } from '../platform/pki.ts';
import { createPrivateFile, writePrivateFile } from '../platform/private-file.ts';
import { makeInstanceFolder, ownerAbove } from './state-owner.ts';

/** An instance's certificate and key, PEM. */
export interface Identity {
  readonly certificate: string;
  readonly key: string;
  /** SHA-256 of the certificate, hex: what Muster shows of the registration. */
  readonly sha256: string;
}

/** Where the two files are. */
export const identityFiles = (folder: string): { readonly certificate: string; readonly key: string } => ({
  certificate: join(folder, 'identity.crt'),
  key: join(folder, 'identity.key'),
});

/**
 * Makes the identity of instance `name` in its state folder. An identity that is there is never replaced: it is
 * registered; answers that one.
 */
export const makeIdentity = (folder: string, name: string, now: Date): Identity => {
  const files = identityFiles(folder);
  makeInstanceFolder(folder);
  const owner = ownerAbove(folder);
  const commonName = `muster proxy ${name}`.slice(0, 64);
  const made = createSelfSigned({ commonName, hosts: [], usage: 'clientAuth' }, now);
  try {
    // The key decides who made it, should two processes try at once.
    createPrivateFile(files.key, made.key, owner);
    writePrivateFile(files.certificate, made.certificate, owner);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  return readIdentity(folder);
};

/** The identity in a state folder; throws `config-invalid` when there is none or its files do not belong together. */
export const readIdentity = (folder: string): Identity => {
  const files = identityFiles(folder);
  try {
    readFileSync(files.certificate);
  } catch (cause) {
    // What a crash between the two writes leaves.
    const first = existsSync(files.key) ? ` once ${files.key} is removed` : '';
    const advice = `stateDir: ${files.certificate} is missing; muster proxy init makes it${first}`;
    throw new MusterError('config-invalid', advice, { cause, field: 'stateDir' });
  }
  const pair = readCertificateFiles({
    certificate: { file: files.certificate, variable: 'identity.crt' },
    key: { file: files.key, variable: 'identity.key' },
  }) as { cert: Buffer; key: Buffer };
  const certificate = pair.cert.toString('utf8');
  const sha256 = certificateSha256(new X509Certificate(certificate));
  return { certificate, key: pair.key.toString('utf8'), sha256 };
};
