/**
 * A passkey authenticator in software: makes credentials and signs as WebAuthn says (W3C Web Authentication 3, §6), in
 * the JSON that browsers give. It does what it is told, also what an honest one would not.
 */
import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto';
import { type CBORType, encodeCBOR } from '@levischuck/tiny-cbor';

/** What the page of an origin asks, as the server's options say. */
interface Options {
  readonly challenge: string;
  readonly rp?: { readonly id: string };
  readonly rpId?: string;
  readonly user?: { readonly id: string };
}

/** How it departs from what is right. */
export interface Odd {
  readonly origin?: string;
  readonly rpId?: string;
  readonly challenge?: string;
  readonly userVerified?: boolean;
  /** Of signatures; otherwise one more than before. */
  readonly counter?: number;
}

const flags = { present: 0x01, verified: 0x04, attested: 0x40 } as const;
const hash = (data: string | Buffer): Buffer => createHash('sha256').update(data).digest();
const encoded = (data: Uint8Array): string => Buffer.from(data).toString('base64url');

/** COSE keys (RFC 9053): ES256 on P-256, or EdDSA on Ed25519. */
const coseKey = (algorithm: 'ES256' | 'EdDSA', key: KeyObject): Uint8Array => {
  const { x, y } = key.export({ format: 'jwk' });
  const bytes = (value: string | undefined) => new Uint8Array(Buffer.from(value ?? '', 'base64url'));
  const entries: [number, CBORType][] =
    algorithm === 'ES256'
      ? [
          [1, 2],
          [3, -7],
          [-1, 1],
          [-2, bytes(x)],
          [-3, bytes(y)],
        ]
      : [
          [1, 1],
          [3, -8],
          [-1, 6],
          [-2, bytes(x)],
        ];
  return encodeCBOR(new Map<string | number, CBORType>(entries));
};

/** An authenticator for pages of `origin`. */
export const openAuthenticator = (origin: string, algorithm: 'ES256' | 'EdDSA' = 'ES256') => {
  const id = randomBytes(32);
  const { privateKey, publicKey } =
    algorithm === 'ES256'
      ? generateKeyPairSync('ec', { namedCurve: 'P-256' })
      : generateKeyPairSync('ed25519');
  let counter = 0;

  const clientData = (type: string, { challenge }: Options, odd: Odd): Buffer =>
    Buffer.from(
      JSON.stringify({
        type,
        challenge: odd.challenge ?? challenge,
        origin: odd.origin ?? origin,
        crossOrigin: false,
      }),
    );
  const authenticatorData = (options: Options, odd: Odd, more: number, rest: Uint8Array): Buffer => {
    counter = odd.counter ?? counter + 1;
    const count = Buffer.alloc(4);
    count.writeUInt32BE(counter);
    const verified = odd.userVerified === false ? 0 : flags.verified;
    const rpId = odd.rpId ?? options.rp?.id ?? options.rpId ?? '';
    return Buffer.concat([hash(rpId), Buffer.from([flags.present | verified | more]), count, rest]);
  };
  const answer = (response: object) => ({
    id: encoded(id),
    rawId: encoded(id),
    type: 'public-key',
    response,
    clientExtensionResults: {},
  });
  return {
    id: encoded(id),
    /** `navigator.credentials.create`. */
    create(options: Options, odd: Odd = {}) {
      const length = Buffer.alloc(2);
      length.writeUInt16BE(id.length);
      const attested = Buffer.concat([Buffer.alloc(16), length, id, coseKey(algorithm, publicKey)]);
      const authData = new Uint8Array(authenticatorData(options, odd, flags.attested, attested));
      const attestation = new Map<string | number, CBORType>([
        ['fmt', 'none'],
        ['attStmt', new Map()],
        ['authData', authData],
      ]);
      return answer({
        clientDataJSON: encoded(clientData('webauthn.create', options, odd)),
        attestationObject: encoded(encodeCBOR(attestation)),
        transports: ['internal'],
      });
    },
    /** `navigator.credentials.get`. */
    get(options: Options, odd: Odd = {}) {
      const client = clientData('webauthn.get', options, odd);
      const data = authenticatorData(options, odd, 0, new Uint8Array());
      const signed = Buffer.concat([data, hash(client)]);
      return answer({
        clientDataJSON: encoded(client),
        authenticatorData: encoded(data),
        signature: encoded(sign(algorithm === 'ES256' ? 'sha256' : null, signed, privateKey)),
      });
    },
  };
};
export type Authenticator = ReturnType<typeof openAuthenticator>;
