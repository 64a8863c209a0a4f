/**
 * Makes X.509 certificates: a certificate authority of one's own, and server certificates that it signs.
 * Called by the embedded event store; any other part that needs certificates takes them from here. Keys come from
 * node:crypto; node-forge only puts the certificate together (RFC 5280). Reading and judging is left to node:crypto.
 */
import { generateKeyPair, hash, randomBytes, X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { promisify } from 'node:util';
import forge from 'node-forge';
import { selfSign } from './self-signed.ts';

/** A certificate and its private key, PEM; the key as PKCS #8. */
export interface KeyPairPem {
  readonly certificate: string;
  readonly key: string;
}

const dayMs = 86_400_000;
/** Clocks of other machines may be behind ours by this much. */
const backdatedMs = 3_600_000;
const authorityDays = 3_650;
/** What browsers and operating systems accept at most (CA/Browser Forum ballot SC22: 398 days). */
const serverDays = 397;

const newKey = async (): Promise<{ publicKey: string; privateKey: string }> =>
  promisify(generateKeyPair)('rsa', {
    modulusLength: 2_048,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  });

/** 127 random bits, positive and never zero (RFC 5280 section 4.1.2.2: at most 20 octets). */
const newSerial = (): string => {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] as number) & 0x7f) | 0x40;
  return bytes.toString('hex');
};

const nameOf = (commonName: string) => [
  { name: 'organizationName', value: 'Muster' },
  { name: 'commonName', value: commonName },
];

const begin = (publicKey: string, commonName: string, now: Date, expiresAt: Date) => {
  const certificate = forge.pki.createCertificate();
  certificate.publicKey = forge.pki.publicKeyFromPem(publicKey);
  certificate.serialNumber = newSerial();
  certificate.validity.notBefore = new Date(now.getTime() - backdatedMs);
  certificate.validity.notAfter = expiresAt;
  certificate.setSubject(nameOf(commonName));
  return certificate;
};

const sign = (certificate: forge.pki.Certificate, key: string): string => {
  certificate.sign(forge.pki.privateKeyFromPem(key), forge.md.sha256.create());
  return forge.pki.certificateToPem(certificate);
};

/** A new authority named `commonName`, valid for ten years, that signs server and client certificates but no authorities. */
export const createAuthority = async (commonName: string, now: Date): Promise<KeyPairPem> => {
  const { publicKey, privateKey } = await newKey();
  const expiresAt = new Date(now.getTime() + authorityDays * dayMs);
  const certificate = begin(publicKey, commonName, now, expiresAt);
  certificate.setIssuer(certificate.subject.attributes);
  certificate.setExtensions([
    { name: 'basicConstraints', cA: true, pathLenConstraint: 0, critical: true },
    { name: 'keyUsage', keyCertSign: true, cRLSign: true, critical: true },
    { name: 'subjectKeyIdentifier' },
  ]);
  return { certificate: sign(certificate, privateKey), key: privateKey };
};

/** Kinds of subject alternative names (RFC 5280 section 4.2.1.6). */
const dnsName = 2;
const ipAddress = 7;

const alternativeName = (host: string) =>
  isIP(host) === 0 ? { type: dnsName, value: host } : { type: ipAddress, ip: host };

/**
 * A server certificate for `hosts` (DNS names and IP addresses), signed by `authority`, valid for 397 days but never
 * longer than the authority.
 */
export const issueServerCertificate = async (
  authority: KeyPairPem,
  hosts: readonly string[],
  now: Date,
): Promise<KeyPairPem> => {
  const { publicKey, privateKey } = await newKey();
  const issuer = forge.pki.certificateFromPem(authority.certificate);
  const latest = issuer.validity.notAfter.getTime();
  const expiresAt = new Date(Math.min(latest, now.getTime() + serverDays * dayMs));
  const certificate = begin(publicKey, hosts[0] ?? 'localhost', now, expiresAt);
  certificate.setIssuer(issuer.subject.attributes);
  const issuerKeyId = (
    issuer.getExtension('subjectKeyIdentifier') as { subjectKeyIdentifier?: string } | null
  )?.subjectKeyIdentifier;
  certificate.setExtensions([
    { name: 'basicConstraints', cA: false, critical: true },
    { name: 'keyUsage', digitalSignature: true, keyEncipherment: true, critical: true },
    { name: 'extKeyUsage', serverAuth: true },
    { name: 'subjectAltName', altNames: hosts.map(alternativeName) },
    { name: 'subjectKeyIdentifier' },
    ...(issuerKeyId === undefined
      ? []
      : [{ name: 'authorityKeyIdentifier', keyIdentifier: forge.util.hexToBytes(issuerKeyId) }]),
  ]);
  return { certificate: sign(certificate, authority.key), key: privateKey };
};

/**
 * A certificate that vouches for itself, ECDSA on P-256: a server's is valid for 397 days, one that identifies a client
 * for ten years, because its other side pins it and can revoke it at any time.
 */
export const createSelfSigned = (
  {
    commonName,
    hosts,
    usage,
  }: {
    readonly commonName: string;
    readonly hosts: readonly string[];
    readonly usage: 'serverAuth' | 'clientAuth';
  },
  now: Date,
): KeyPairPem =>
  selfSign({
    serialNumber: newSerial(),
    notBefore: new Date(now.getTime() - backdatedMs),
    notAfter: new Date(now.getTime() + (usage === 'serverAuth' ? serverDays : authorityDays) * dayMs),
    subject: nameOf(commonName),
    hosts,
    usage,
  });

/** Whether `certificate` is made out to `host`, by the rules that TLS clients apply. */
export const isIssuedTo = (certificate: X509Certificate, host: string): boolean =>
  (isIP(host) === 0 ? certificate.checkHost(host) : certificate.checkIP(host)) !== undefined;

/** Time left until a certificate expires, in days; negative once it has. */
export const daysLeft = (certificate: X509Certificate, now: Date): number =>
  (Date.parse(certificate.validTo) - now.getTime()) / dayMs;

/** Whether two thirds of a certificate's life are over: the time to renew it. */
export const isDueForRenewal = (certificate: X509Certificate, now: Date): boolean => {
  const begins = Date.parse(certificate.validFrom);
  return now.getTime() > begins + ((Date.parse(certificate.validTo) - begins) * 2) / 3;
};

/** The first certificate of a PEM file; undefined when it holds none that can be read. */
export const readCertificate = (pem: string): X509Certificate | undefined => {
  try {
    return new X509Certificate(pem);
  } catch {
    return undefined;
  }
};

/** SHA-256 of a certificate's DER, hex: what names it to the byte. */
export const certificateSha256 = (certificate: X509Certificate): string =>
  hash('sha256', certificate.raw, 'hex');

/** SHA-256 of a certificate's public key (SubjectPublicKeyInfo), hex: survives a renewal that keeps the key. */
export const publicKeySha256 = (certificate: X509Certificate): string =>
  hash('sha256', certificate.publicKey.export({ type: 'spki', format: 'der' }), 'hex');
