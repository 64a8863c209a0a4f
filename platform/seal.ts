/**
 * Seals secrets that must be read back (bind passwords, seeds): AES-256-GCM under the installation's key, bound to
 * what the secret is for. Opened by platform/sealed-secrets.ts and api/vault/.
 */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { MusterError } from './errors.ts';

/** What a secret is for; a sealed text opens for nothing else. */
export interface SealContext {
  readonly tenantId: string;
  readonly purpose: string;
}

export interface Seal {
  /** A text that says nothing without the key. */
  seal(secret: string, context: SealContext): string;
  /** The secret again; throws `config-invalid` when the key is another one or the text was changed or moved. */
  open(sealed: string, context: SealContext): string;
}

const version = 'v1';
const ivBytes = 12;
const tagBytes = 16;
const keyBytes = 32;

const associated = ({ tenantId, purpose }: SealContext): Buffer =>
  Buffer.from(JSON.stringify([version, tenantId, purpose]));

/** The key of the data folder, made at the first use: the file is readable by its owner alone. */
const keyOfFolder = (dataDir: string): Buffer => {
  const path = join(dataDir, 'secret.key');
  try {
    mkdirSync(dataDir, { recursive: true });
    writeFileSync(path, randomBytes(keyBytes).toString('base64'), { mode: 0o600, flag: 'wx' });
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'EEXIST') throw cause;
  }
  const key = Buffer.from(readFileSync(path, 'utf8'), 'base64');
  if (key.length !== keyBytes)
    throw new MusterError('config-invalid', `${path} does not hold a key of ${keyBytes} bytes`);
  return key;
};

/** Opens the seal. The key is `secretKey` (base64, 32 bytes), else the data folder's own, looked up at first use. */
export const openSeal = (config: {
  readonly secretKey?: string | undefined;
  readonly dataDir: string;
}): Seal => {
  let known: Buffer | undefined;
  const key = (): Buffer => {
    known ??=
      config.secretKey === undefined ? keyOfFolder(config.dataDir) : Buffer.from(config.secretKey, 'base64');
    return known;
  };
  return {
    seal(secret, context) {
      const iv = randomBytes(ivBytes);
      const cipher = createCipheriv('aes-256-gcm', key(), iv).setAAD(associated(context));
      const text = Buffer.concat([cipher.update(secret, 'utf8'), cipher.final()]);
      return `${version}.${Buffer.concat([iv, cipher.getAuthTag(), text]).toString('base64url')}`;
    },
    open(sealed, context) {
      const bytes = Buffer.from(sealed.slice(version.length + 1), 'base64url');
      try {
        if (!sealed.startsWith(`${version}.`)) throw new TypeError('an unknown form');
        const decipher = createDecipheriv('aes-256-gcm', key(), bytes.subarray(0, ivBytes), {
          authTagLength: tagBytes,
        }).setAAD(associated(context));
        decipher.setAuthTag(bytes.subarray(ivBytes, ivBytes + tagBytes));
        const text = decipher.update(bytes.subarray(ivBytes + tagBytes));
        return Buffer.concat([text, decipher.final()]).toString('utf8');
      } catch (cause) {
        throw new MusterError(
          'config-invalid',
          `a sealed secret (${context.purpose}) does not open: MUSTER_SECRET_KEY is not the key it was sealed with`,
          { cause },
        );
      }
    },
  };
};
