/**
 * A real LDAP server on loopback for a test: OpenLDAP's slapd with a folder, a port, a CA and entries of its own.
 * Called by the tests of directories.
 */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { quietPort, untilListening } from './port.ts';

const binary = '/usr/sbin/slapd';

/** A reason to skip: in continuous integration there is none, and a missing slapd fails. */
export const slapdMissing: string | false =
  existsSync(binary) || process.env['CI']
    ? false
    : 'no slapd on this machine (apt-get install slapd ldap-utils)';

export interface Slapd {
  readonly ldapUrl: string;
  readonly ldapsUrl: string;
  /** CA of its certificate, in PEM, and the certificate's SHA-256. */
  readonly ca: string;
  readonly certificateSha256: string;
  readonly baseDn: string;
  readonly bindDn: string;
  readonly bindPassword: string;
  /** Applies LDIF changes as the administrator. */
  modify(ldif: string): void;
  stop(): Promise<void>;
}

const makeCertificate = (folder: string): void => {
  const run = (...args: string[]) => execFileSync('openssl', args, { cwd: folder, stdio: 'ignore' });
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'];
  run('req', '-x509', ...key, '-keyout', 'ca.key', '-out', 'ca.pem', '-subj', '/CN=Test CA');
  run(
    'req',
    ...key.slice(0, 4),
    '-nodes',
    '-keyout',
    'server.key',
    '-out',
    'server.csr',
    '-subj',
    '/CN=localhost',
  );
  writeFileSync(join(folder, 'san'), 'subjectAltName=DNS:localhost');
  const signed = ['-req', '-in', 'server.csr', '-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial'];
  run('x509', ...signed, '-days', '2', '-extfile', 'san', '-out', 'server.pem');
};

const baseDn = 'dc=acme,dc=example';
const bindDn = `cn=admin,${baseDn}`;
const bindPassword = 'bind secret';

const config = (folder: string): string => `
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile ${folder}/pid
TLSCACertificateFile ${folder}/ca.pem
TLSCertificateFile ${folder}/server.pem
TLSCertificateKeyFile ${folder}/server.key
allow bind_anon_cred
database mdb
maxsize 10485760
suffix "${baseDn}"
rootdn "${bindDn}"
rootpw "${bindPassword}"
directory ${folder}/db
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact="${bindDn}" read by * none
`;

/** LDIF of a person. */
export const person = (uid: string, name: string, more = ''): string =>
  `dn: uid=${uid},ou=people,${baseDn}\nobjectClass: inetOrgPerson\nuid: ${uid}\ncn: ${name}\nsn: ${name}\nmail: ${uid}@acme.example\nuserPassword: password of ${uid}\n${more}\n`;

/** Starts a slapd with these entries. */
export const startSlapd = async (ldif: string): Promise<Slapd> => {
  const folder = mkdtempSync(join(tmpdir(), 'muster-slapd-'));
  mkdirSync(join(folder, 'db'));
  makeCertificate(folder);
  const file = join(folder, 'slapd.conf');
  writeFileSync(file, config(folder));
  const root = `dn: ${baseDn}\nobjectClass: dcObject\nobjectClass: organization\no: Acme\ndc: acme\n\ndn: ou=people,${baseDn}\nobjectClass: organizationalUnit\nou: people\n\n`;
  execFileSync('/usr/sbin/slapadd', ['-f', file], {
    input: root + ldif,
    stdio: ['pipe', 'ignore', 'pipe'],
  });
  const [plain, secure] = [await quietPort(), await quietPort()];
  const ldapUrl = `ldap://localhost:${plain}`;
  const child = spawn(
    binary,
    ['-d', '0', '-f', file, '-h', `ldap://127.0.0.1:${plain}/ ldaps://127.0.0.1:${secure}/`],
    { stdio: 'ignore' },
  );
  await untilListening(secure, child);
  const fingerprint = execFileSync(
    'openssl',
    ['x509', '-in', 'server.pem', '-noout', '-fingerprint', '-sha256'],
    {
      cwd: folder,
      encoding: 'utf8',
    },
  );
  return {
    ldapUrl,
    ldapsUrl: `ldaps://localhost:${secure}`,
    ca: readFileSync(join(folder, 'ca.pem'), 'utf8'),
    certificateSha256: (fingerprint.split('=')[1] as string).trim().replaceAll(':', '').toLowerCase(),
    baseDn,
    bindDn,
    bindPassword,
    modify(changes) {
      const args = ['-x', '-H', ldapUrl.replace('localhost', '127.0.0.1'), '-D', bindDn, '-w', bindPassword];
      execFileSync('ldapmodify', args, { input: changes, stdio: ['pipe', 'ignore', 'pipe'] });
    },
    async stop() {
      if (child.exitCode === null) {
        const ended = once(child, 'exit');
        child.kill();
        await ended;
      }
      rmSync(folder, { recursive: true, force: true });
    },
  };
};
