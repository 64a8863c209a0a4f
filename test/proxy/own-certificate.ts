/** A certificate that vouches for itself, as files and as text. Called by tests beside this file. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { createSelfSigned } from '../../platform/pki.ts';
import { folder } from './stage.ts';

/** Made out to `commonName`, and to 127.0.0.1 where it is a server's. */
export const makeCertificate = (
  t: TestContext,
  usage: 'serverAuth' | 'clientAuth',
  commonName = 'localhost',
) => {
  const path = folder(t);
  const pair = createSelfSigned({ commonName, hosts: ['127.0.0.1'], usage }, new Date());
  const files = { certFile: join(path, 'tls.crt'), keyFile: join(path, 'tls.key') };
  writeFileSync(files.certFile, pair.certificate);
  writeFileSync(files.keyFile, pair.key);
  return { ...files, cert: pair.certificate, key: pair.key };
};
