/**
 * Seals secrets that must be read back (AES-256-GCM, NIST SP 800-38D) under the installation's key, bound to tenant
 * and purpose: moved to another row, one does not open. Opened by api/credentials.ts and whoever keeps such secrets.
 */
import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto';
import { chmodSync, linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TenantId } from '../../domain/ids.ts';
import type { ServerConfig } from '../../platform/config.ts';
import { MusterError } from '../../platform/errors.ts';

/** Whose secret, and what for: `recaptcha`, `totp:<accountId>`, … */
export interface SealedFor {
  readonly tenantId: TenantId;
  readonly purpose: string;
}

export interface Seal {
  seal(secret: string, whose: SealedFor): string;
  /** The secret; throws `config-invalid` when it was sealed under another key or for somebody else. */
  open(sealed: string, whose: SealedFor): string;
}

const version = 'v1';
const keyFile = 'secret-key';
const nonceBytes = 12;
const tagBytes = 16;

/** The key in the data folder, made at first use: of two processes that make one, one wins and both read it. */
const keyOfFolder = (dataDir: string): Buffer => {
  const file = join(dataDir, keyFile);
  const read = (): Buffer | undefined => {
    try {
      return Buffer.from(readFileSync(file, 'utf8').trim(), 'base64url');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    }
  };
  const known = read();
  if (known) return known;
  mkdirSync(dataDir, { recursive: true });
  const draft = `${file}.${process.pid}`;
  writeFileSync(draft, randomBytes(32).toString('base64url'), { mode: 0o600 });
  chmodSync(draft, 0o600);
  try {
    linkSync(draft, file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  } finally {
    rmSync(draft, { force: true });
  }
  return read() as Buffer;
};

const keyOf = ({ secretKey, dataDir }: Pick<ServerConfig, 'secretKey' | 'dataDir'>): Buffer => {
  const key = secretKey === undefined ? keyOfFolder(dataDir) : Buffer.from(secretKey, 'base64url');
  if (key.length !== 32)
    throw new MusterError('config-invalid', 'the secret key is not 32 bytes in base64url', {
      field: 'secretKey',
    });
  return key;
};

/** Additional data of the cipher: no two pairs of tenant and purpose have the same. */
const boundTo = ({ tenantId, purpose }: SealedFor): Buffer =>
  createHash('sha256')
    .update(JSON.stringify([version, tenantId, purpose]))
    .digest();

/** Opens the seal; the key is read, or made, when it is first needed. */
export const openSeal = (config: Pick<ServerConfig, 'secretKey' | 'dataDir'>): Seal => {
  let known: Buffer | undefined;
  const key = (): Buffer => {
    known ??= keyOf(config);
    return known;
  };
  return {
    seal(secret, whose) {
      const nonce = randomBytes(nonceBytes);
      const cipher = createCipheriv('aes-256-gcm', key(), nonce).setAAD(boundTo(whose));
      const body = Buffer.concat([cipher.update(secret, 'utf8'), cipher.final()]);
      return `${version}.${Buffer.concat([nonce, cipher.getAuthTag(), body]).toString('base64url')}`;
    },
    open(sealed, whose) {
      const [format, text = ''] = sealed.split('.');
      const bytes = Buffer.from(text, 'base64url');
      try {
        if (format !== version) throw new TypeError(`unknown format ${format}`);
        const decipher = createDecipheriv('aes-256-gcm', key(), bytes.subarray(0, nonceBytes), {
          authTagLength: tagBytes,
        }).setAAD(boundTo(whose));
        decipher.setAuthTag(bytes.subarray(nonceBytes, nonceBytes + tagBytes));
        const body = bytes.subarray(nonceBytes + tagBytes);
        return Buffer.concat([decipher.update(body), decipher.final()]).toString('utf8');
      } catch (cause) {
        if (cause instanceof MusterError) throw cause;
        throw new MusterError('config-invalid', `the secret for ${whose.purpose} cannot be opened`, {
          cause,
        });
      }
    },
  };
};
