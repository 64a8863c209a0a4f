/** The certificate that devices see: its three kinds, clear faults, and its change while connections live on. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { connect } from 'node:tls';
import { MusterError } from '../../platform/errors.ts';
import { createSelfSigned } from '../../platform/pki.ts';
import { loadCertificate } from '../../proxy/certificate.ts';
import { basic, folder, healthy, openFeed, openMailServer, openProxy, post, syncTarget } from './stage.ts';

const now = new Date();
const make = (path: string, name: string, from = now) => {
  const pair = createSelfSigned(
    { commonName: name, hosts: ['localhost', '127.0.0.1'], usage: 'serverAuth' },
    from,
  );
  const files = { certFile: join(path, `${name}.crt`), keyFile: join(path, `${name}.key`) };
  writeFileSync(files.certFile, pair.certificate);
  writeFileSync(files.keyFile, pair.key);
  return { ...pair, ...files };
};

const openTls = async (t: TestContext, tls: object) => {
  const [mail, feed] = [await openMailServer(t), await openFeed(t)];
  return { mail, ...(await openProxy(t, { backend: { url: mail.url }, serverUrl: feed.url, tls })) };
};

const dial = async (t: TestContext, port: number, ca: string) => {
  const socket = connect({ port, host: '127.0.0.1', ca });
  t.after(() => socket.destroy());
  await once(socket, 'secureConnect');
  return socket;
};

const seenBy = async (t: TestContext, port: number, ca: string) =>
  (await dial(t, port, ca)).getPeerX509Certificate()?.fingerprint256;

test('self-signed by us: ECDSA, private on disk, the same after a restart', async (t) => {
  const proxy = await openTls(t, { selfSigned: { hostName: '127.0.0.1' } });
  const own = join(proxy.config.stateDir, 'mail');
  const ca = readFileSync(join(own, 'tls.crt'), 'utf8');
  assert.equal(statSync(join(own, 'tls.key')).mode & 0o777, 0o600);
  assert.ok(await seenBy(t, proxy.port, ca));
  const again = { folder: own, field: 'tls', now };
  const kept = await loadCertificate({ selfSigned: { hostName: '127.0.0.1' } }, again);
  assert.equal(kept.options.cert, ca);
  const other = await loadCertificate({ selfSigned: { hostName: 'mail.example.org' } }, again);
  assert.notEqual(other.options.cert, ca);
});

test('PKCS#12 is served; a wrong password and a file that is none are named', async (t) => {
  const path = folder(t);
  const { certificate, certFile, keyFile } = make(path, 'a');
  const [pkcs12File, passwordFile] = [join(path, 'a.p12'), join(path, 'password')];
  writeFileSync(passwordFile, 'secret\n');
  const args = ['pkcs12', '-export', '-in', certFile, '-inkey', keyFile, '-out', pkcs12File];
  execFileSync('openssl', [...args, '-passout', 'pass:secret']);
  const proxy = await openTls(t, { pkcs12File, passwordFile });
  assert.ok(await seenBy(t, proxy.port, certificate));
  const load = (tls: { pkcs12File: string; passwordFile: string }) =>
    loadCertificate(tls, { folder: path, field: 'tls', now });
  writeFileSync(passwordFile, 'wrong');
  await assert.rejects(load({ pkcs12File, passwordFile }), /tls.passwordFile: the password is wrong/);
  await assert.rejects(load({ pkcs12File: certFile, passwordFile }), /tls.pkcs12File: is no PKCS#12 file/);
});

test('a key of another certificate and files that hold neither are named', async (t) => {
  const path = folder(t);
  const [a, b] = [make(path, 'a'), make(path, 'b')];
  const refused = (tls: { certFile: string; keyFile: string; chainFile?: string }, field: string) =>
    assert.rejects(
      loadCertificate(tls, { folder: path, field: 'tls', now }),
      (error: unknown) => error instanceof MusterError && error.field === field,
    );
  await refused({ certFile: a.certFile, keyFile: b.keyFile }, 'tls.keyFile');
  await refused({ certFile: a.keyFile, keyFile: a.keyFile }, 'tls.certFile');
  await refused({ certFile: a.certFile, keyFile: a.certFile }, 'tls.keyFile');
  await refused({ certFile: a.certFile, keyFile: a.keyFile, chainFile: a.keyFile }, 'tls.chainFile');
});

test('a new certificate is shown to new connections, old ones live on, and a broken one changes nothing', async (t) => {
  const path = folder(t);
  const [a, b] = [make(path, 'a'), make(path, 'b', new Date(now.getTime() - 86_400_000))];
  const proxy = await openTls(t, { certFile: a.certFile, keyFile: a.keyFile });
  const old = await dial(t, proxy.port, a.certificate);
  writeFileSync(a.certFile, b.certificate);
  await proxy.reload();
  await proxy.until(({ level, msg }) => level === 50 && /the old one stays/.test(msg));
  assert.ok(await seenBy(t, proxy.port, a.certificate));
  writeFileSync(a.keyFile, b.key);
  await proxy.reload();
  assert.ok(await seenBy(t, proxy.port, b.certificate));
  const { validTo } = new X509Certificate(b.certificate);
  assert.equal(proxy.health().certificateExpiresAt, new Date(validTo).toISOString());
  old.write(
    `POST ${syncTarget} HTTP/1.1\r\nHost: x\r\nAuthorization: ${basic('eve')}\r\nContent-Length: 0\r\n\r\n`,
  );
  const [answer] = (await once(old, 'data')) as [Buffer];
  assert.match(answer.toString(), /^x-muster-reason: /im, 'the old connection is answered');
});

test('a pinned mail server is served whoever signed it, another one never hears a request, and any is taken only when told', async (t) => {
  const path = folder(t);
  const [a, b] = [make(path, 'a'), make(path, 'b')];
  const inner = await openTls(t, { certFile: a.certFile, keyFile: a.keyFile });
  const feed = await openFeed(t);
  const url = `https://127.0.0.1:${inner.port}`;
  const ask = async (trust: object) => {
    const outer = await openProxy(t, { backend: { url, ...trust }, serverUrl: feed.url });
    await healthy(outer);
    return (await post(outer.port)).status;
  };
  await healthy(inner);
  const pinOf = (pem: string) => new X509Certificate(pem).fingerprint256;
  assert.equal(await ask({ pin: pinOf(a.certificate) }), 200);
  assert.equal(await ask({ allowAnyCertificate: true }), 200);
  assert.equal(inner.mail.seen.length, 2);
  assert.equal(await ask({ pin: pinOf(b.certificate) }), 502);
  assert.equal(await ask({}), 502);
  await inner.stop();
  assert.equal(inner.mail.seen.length, 2);
  // What is left of the other two is a handshake that was broken off.
  const rules = inner.lines.filter(({ msg }) => msg === 'request').map((line) => line['rule']);
  assert.deepEqual(rules.sort(), ['protocol', 'protocol', 'verdict', 'verdict']);
});
