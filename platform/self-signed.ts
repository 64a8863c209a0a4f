/**
 * Makes self-signed certificates with ECDSA keys on P-256 (RFC 5280, RFC 5480). node-forge encodes the parts but knows no
 * keys other than RSA, so that the key comes from node:crypto and the signature too. Called through pki.ts.
 */
import { generateKeyPairSync, sign } from 'node:crypto';
import { isIP } from 'node:net';
import forge from 'node-forge';

const { asn1, pki } = forge;
const { UNIVERSAL, CONTEXT_SPECIFIC } = asn1.Class;
const { SEQUENCE, INTEGER, OID, BITSTRING, UTCTIME, GENERALIZEDTIME } = asn1.Type;

/** Parts of node-forge that its type declarations leave out. */
const encoder = pki as unknown as {
  distinguishedNameToAsn1: (name: { attributes: object[] }) => forge.asn1.Asn1;
  certificateExtensionsToAsn1: (extensions: object[]) => forge.asn1.Asn1;
};

const ecdsaWithSha256 = '1.2.840.10045.4.3.2';

/** What a certificate is for. */
export interface SelfSignedRequest {
  readonly serialNumber: string;
  readonly notBefore: Date;
  readonly notAfter: Date;
  readonly subject: readonly { readonly name: string; readonly value: string }[];
  readonly hosts: readonly string[];
  readonly usage: 'serverAuth' | 'clientAuth';
}

const sequence = (...parts: forge.asn1.Asn1[]): forge.asn1.Asn1 =>
  asn1.create(UNIVERSAL, SEQUENCE, true, parts);
const primitive = (type: forge.asn1.Type, bytes: string): forge.asn1.Asn1 =>
  asn1.create(UNIVERSAL, type, false, bytes);
const explicit = (tag: number, part: forge.asn1.Asn1): forge.asn1.Asn1 =>
  asn1.create(CONTEXT_SPECIFIC, tag, true, [part]);

const algorithm = (): forge.asn1.Asn1 => sequence(primitive(OID, asn1.oidToDer(ecdsaWithSha256).getBytes()));

/** UTCTime up to 2049, GeneralizedTime from 2050 on (RFC 5280 section 4.1.2.5). */
const time = (date: Date): forge.asn1.Asn1 =>
  date.getUTCFullYear() < 2_050
    ? primitive(UTCTIME, asn1.dateToUtcTime(date) as unknown as string)
    : primitive(GENERALIZEDTIME, asn1.dateToGeneralizedTime(date) as unknown as string);

const nameOf = (subject: SelfSignedRequest['subject']): forge.asn1.Asn1 =>
  encoder.distinguishedNameToAsn1({
    attributes: subject.map(({ name, value }) => ({
      type: pki.oids[name],
      value,
      valueTagClass: asn1.Type.UTF8,
    })),
  });

const extensionsOf = ({ hosts, usage }: SelfSignedRequest): object[] => {
  const carrier = pki.createCertificate();
  carrier.setExtensions([
    { name: 'basicConstraints', cA: false, critical: true },
    { name: 'keyUsage', digitalSignature: true, critical: true },
    { name: 'extKeyUsage', [usage]: true },
    ...(hosts.length === 0
      ? []
      : [
          {
            name: 'subjectAltName',
            altNames: hosts.map((host) =>
              isIP(host) === 0 ? { type: 2, value: host } : { type: 7, ip: host },
            ),
          },
        ]),
  ]);
  return carrier.extensions;
};

/** A new key and its certificate, both PEM. */
export const selfSign = (request: SelfSignedRequest): { certificate: string; key: string } => {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const spki = publicKey.export({ type: 'spki', format: 'der' }).toString('latin1');
  const name = () => nameOf(request.subject);
  const toBeSigned = sequence(
    explicit(0, primitive(INTEGER, asn1.integerToDer(2).getBytes())),
    primitive(INTEGER, forge.util.hexToBytes(request.serialNumber)),
    algorithm(),
    name(),
    sequence(time(request.notBefore), time(request.notAfter)),
    name(),
    asn1.fromDer(spki),
    encoder.certificateExtensionsToAsn1(extensionsOf(request)),
  );
  const signature = sign('sha256', Buffer.from(asn1.toDer(toBeSigned).getBytes(), 'latin1'), privateKey);
  const der = asn1.toDer(
    sequence(toBeSigned, algorithm(), primitive(BITSTRING, `\0${signature.toString('latin1')}`)),
  );
  return {
    certificate: forge.pem.encode({ type: 'CERTIFICATE', body: der.getBytes() }).replaceAll('\r', ''),
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  };
};
