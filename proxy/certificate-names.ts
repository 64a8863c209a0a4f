/**
 * Whom a client certificate names: the texts that are compared with the device and the user of a request by
 * rules/certificate.ts. Called by client-certificates.ts.
 * Sources: RFC 5280 4.2.1.6 (alternative names), Node's crypto.X509Certificate (how it writes them).
 */
import type { X509Certificate } from 'node:crypto';

/** What a certificate says of its holder. */
export interface CertificateNames {
  /** CN and serialNumber of the subject, mail addresses and UPNs. */
  readonly names: readonly string[];
  /** Of `muster:device:<id>` among the URIs. */
  readonly deviceIds: readonly string[];
}

const deviceUri = /^muster:device:([A-Za-z0-9_-]{1,128})$/;

/** Node writes `kind:value, …` and quotes, as JSON does, what could be taken for more than one name. */
const alternativeNames = (text: string): readonly (readonly [kind: string, value: string])[] => {
  const found: (readonly [string, string])[] = [];
  const name = /([A-Za-z ]+):("(?:[^"\\]|\\.)*"|[^",]*)(?:, |$)/y;
  while (name.lastIndex < text.length) {
    const [, kind = '', value = ''] = name.exec(text) ?? [];
    // Not in this form: nothing of it is believed.
    if (kind === '') return [];
    found.push([kind, value.startsWith('"') ? (JSON.parse(value) as string) : value]);
  }
  return found;
};

/** The names; a certificate without any has empty lists. */
export const namesOf = (certificate: X509Certificate): CertificateNames => {
  const subject = certificate.toLegacyObject().subject as unknown as Record<
    string,
    string | string[] | undefined
  >;
  const alternatives = alternativeNames(certificate.subjectAltName ?? '');
  const valuesOf = (kind: string): string[] =>
    alternatives.filter(([own]) => own === kind).map(([, value]) => value);
  const upns = valuesOf('othername').filter((value) => value.startsWith('UPN:'));
  return {
    names: [
      ...[subject['CN'] ?? [], subject['serialNumber'] ?? []].flat(),
      ...valuesOf('email'),
      ...upns.map((value) => value.slice('UPN:'.length)),
    ],
    deviceIds: valuesOf('URI').flatMap((uri) => deviceUri.exec(uri)?.[1] ?? []),
  };
};
