/** A certificate authority for tests, made with openssl: client certificates with any names, and revocation lists. */
import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export interface ClientPair {
  readonly cert: string;
  readonly key: string;
}

const openssl = (...args: string[]): void => void execFileSync('openssl', args, { stdio: 'pipe' });
const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];

/** An authority whose files are in `dir`, named after it. */
export const openAuthority = (dir: string, name: string) => {
  const at = (file: string): string => join(dir, `${name}-${file}`);
  const [caFile, caKey, crlFile] = [at('ca.crt'), at('ca.key'), at('list.crl')];
  const constraints = ['-addext', 'basicConstraints=critical,CA:TRUE'];
  openssl(
    ...['req', '-x509', ...newKey, '-subj', `/CN=${name}`, '-keyout', caKey, '-out', caFile, '-days', '30'],
    ...constraints,
    ...['-addext', 'keyUsage=critical,keyCertSign,cRLSign'],
  );
  let serial = 0;
  /** `subject` as /CN=…; `names` as openssl's subjectAltName section, a line each. */
  const issue = (
    subject: string,
    names: readonly string[] = [],
    usage: 'clientAuth' | 'serverAuth' = 'clientAuth',
  ): ClientPair => {
    serial += 1;
    const [key, cert, config] = [at(`${serial}.key`), at(`${serial}.crt`), at(`${serial}.conf`)];
    const alternatives = names.length === 0 ? '' : `subjectAltName=@names\n[names]\n${names.join('\n')}\n`;
    const head = '[req]\ndistinguished_name=dn\nx509_extensions=own\n[dn]\n';
    writeFileSync(config, `${head}[own]\nextendedKeyUsage=${usage}\n${alternatives}`);
    openssl(
      ...['req', '-x509', '-config', config, ...newKey, '-subj', subject, '-keyout', key, '-out', cert],
      ...['-CA', caFile, '-CAkey', caKey, '-set_serial', `0x4${serial}af`, '-days', '10'],
    );
    return { cert: readFileSync(cert, 'utf8'), key: readFileSync(key, 'utf8') };
  };
  /** Writes a list of these to `crlFile`; `dates` are openssl's options, 30 days from now when not given. */
  const revoke = (revoked: readonly ClientPair[], dates: readonly string[] = ['-crldays', '30']): void => {
    const [database, config] = [at('index'), at('conf')];
    const rows = revoked.map(
      ({ cert }) =>
        `R\t350101000000Z\t260101000000Z\t${new X509Certificate(cert).serialNumber}\tunknown\t/CN=x\n`,
    );
    writeFileSync(database, rows.join(''));
    writeFileSync(config, `[ca]\ndefault_ca=own\n[own]\ndatabase=${database}\ndefault_md=sha256\n`);
    openssl(
      ...['ca', '-gencrl', '-config', config, '-cert', caFile, '-keyfile', caKey],
      ...[...dates, '-out', crlFile],
    );
  };
  return { caFile, crlFile, issue, revoke };
};
