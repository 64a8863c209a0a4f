/**
 * Lines of text that carry their Ed25519 signature (RFC 8032) in front: `<signature, base64url> <text>`. The server signs
 * the feed of mail verdicts with them; proxies check each one when it arrives and again when it is read from disk.
 */
import { createPublicKey, generateKeyPairSync, type KeyObject, sign, verify } from 'node:crypto';

const signatureChars = 86;

/** A new signing key, PKCS #8 PEM. */
export const newSigningKey = (): string =>
  generateKeyPairSync('ed25519', {
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'pem' },
  }).privateKey;

/** The public half of a key: SubjectPublicKeyInfo, DER, base64. */
export const publicHalf = (key: KeyObject): string =>
  createPublicKey(key).export({ type: 'spki', format: 'der' }).toString('base64');

/** The key of publicHalf again; throws when it is none of Ed25519. */
export const readPublicHalf = (base64: string): KeyObject => {
  const key = createPublicKey({ key: Buffer.from(base64, 'base64'), format: 'der', type: 'spki' });
  if (key.asymmetricKeyType !== 'ed25519') throw new TypeError('the key is not an Ed25519 key');
  return key;
};

/** The line for a text without line feeds. */
export const signLine = (key: KeyObject, text: string): string =>
  `${sign(null, Buffer.from(text, 'utf8'), key).toString('base64url')} ${text}`;

/** The text of a line that was signed by the owner of `publicKey`; null otherwise. */
export const openLine = (publicKey: KeyObject, line: string): string | null => {
  if (line.charAt(signatureChars) !== ' ') return null;
  const text = line.slice(signatureChars + 1);
  const signature = Buffer.from(line.slice(0, signatureChars), 'base64url');
  return verify(null, Buffer.from(text, 'utf8'), publicKey, signature) ? text : null;
};
