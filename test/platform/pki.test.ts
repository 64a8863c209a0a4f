/** Certificates as node:crypto and TLS itself see them. */
import assert from 'node:assert/strict';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { before, describe, it } from 'node:test';
import { connect, createServer } from 'node:tls';
import {
  createAuthority,
  daysLeft,
  isDueForRenewal,
  isIssuedTo,
  issueServerCertificate,
  type KeyPairPem,
  readCertificate,
} from '../../platform/pki.ts';

const now = new Date('2030-05-06T07:08:09Z');
const later = (days: number): Date => new Date(now.getTime() + days * 86_400_000);
const hosts = ['store.example', '127.0.0.1', '::1', '10.1.2.3'];

let authority: KeyPairPem;
let server: KeyPairPem;
let ca: X509Certificate;
let leaf: X509Certificate;
before(async () => {
  authority = await createAuthority('Test CA', now);
  server = await issueServerCertificate(authority, hosts, now);
  ca = new X509Certificate(authority.certificate);
  leaf = new X509Certificate(server.certificate);
});

describe('an authority', () => {
  it('signs itself, may sign others, and names no host', () => {
    assert.ok(ca.ca);
    assert.ok(ca.verify(ca.publicKey));
    assert.ok(ca.checkPrivateKey(createPrivateKey(authority.key)));
    assert.match(ca.subject, /CN=Test CA/);
    assert.equal(ca.subjectAltName, undefined);
  });
});

describe('a server certificate', () => {
  it('is issued by the authority to its hosts, and is none itself', () => {
    assert.ok(!leaf.ca);
    assert.ok(leaf.checkIssued(ca));
    assert.ok(leaf.verify(ca.publicKey));
    assert.ok(leaf.checkPrivateKey(createPrivateKey(server.key)));
    for (const host of hosts) assert.ok(isIssuedTo(leaf, host), host);
    for (const host of ['other.example', '127.0.0.2', 'sub.store.example', 'localhost'])
      assert.ok(!isIssuedTo(leaf, host), host);
    assert.deepEqual(leaf.keyUsage, ['1.3.6.1.5.5.7.3.1']);
  });

  it('has a serial of its own, positive and of at most 20 octets', async () => {
    const other = new X509Certificate((await issueServerCertificate(authority, hosts, now)).certificate);
    assert.notEqual(other.serialNumber, leaf.serialNumber);
    for (const { serialNumber } of [ca, leaf, other]) assert.match(serialNumber, /^[1-7][0-9A-F]{31}$/);
  });

  it('begins a little early, lasts 397 days, and is due for renewal after two thirds', () => {
    assert.ok(Date.parse(leaf.validFrom) < now.getTime());
    assert.equal(Math.round(daysLeft(leaf, now)), 397);
    assert.ok(!isDueForRenewal(leaf, later(260)));
    assert.ok(isDueForRenewal(leaf, later(270)));
    assert.ok(daysLeft(leaf, later(398)) < 0);
  });

  it('never outlives its authority', async () => {
    const late = later(3_600);
    const last = new X509Certificate((await issueServerCertificate(authority, hosts, late)).certificate);
    assert.equal(last.validTo, ca.validTo);
  });

  it('carries a TLS connection to each kind of name for whom the authority is known, and for nobody else', async () => {
    // TLS looks at the real clock.
    const real = await createAuthority('Real CA', new Date());
    const issued = await issueServerCertificate(real, ['localhost', '127.0.0.1'], new Date());
    const listening = createServer({ cert: issued.certificate, key: issued.key }, (socket) => socket.end());
    listening.on('tlsClientError', () => {});
    listening.listen(0, '127.0.0.1');
    await once(listening, 'listening');
    const { port } = listening.address() as AddressInfo;
    const dial = (trusted: string, servername: string): Promise<string> =>
      new Promise((resolve) => {
        const ip = servername === '127.0.0.1';
        const socket = connect({ port, host: '127.0.0.1', ca: trusted, ...(ip ? {} : { servername }) });
        socket.once('secureConnect', () => resolve('secure'));
        socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
        socket.once('close', () => {});
      });
    assert.equal(await dial(real.certificate, 'localhost'), 'secure');
    assert.equal(await dial(real.certificate, '127.0.0.1'), 'secure');
    assert.equal(await dial(real.certificate, 'other.example'), 'ERR_TLS_CERT_ALTNAME_INVALID');
    assert.notEqual(await dial(authority.certificate, 'localhost'), 'secure');
    listening.close();
  });
});

it('what is no certificate reads as none', () => {
  assert.equal(readCertificate('nonsense'), undefined);
  assert.equal(readCertificate(authority.certificate)?.subject, ca.subject);
});
