/**
 * The server as such: where it listens, TLS, health, and how it stops.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import forge from 'node-forge';
import { start } from '../../api/main.ts';
import { readConfig, type ServerConfig, serverSettings } from '../../platform/config.ts';
import { MusterError } from '../../platform/errors.ts';
import { type Projector, start as startProjections } from '../../projections/main.ts';
import { type Servers, startServers } from '../support/servers.ts';
import type { Json } from './stage.ts';

let servers: Servers;
let projector: Projector;
let folder: string;

const configOf = (settings: Record<string, string> = {}): ServerConfig =>
  readConfig(serverSettings, { port: '0', ...settings }, {});

before(async () => {
  servers = await startServers();
  projector = await startProjections(configOf(), servers.deps);
  folder = mkdtempSync(join(tmpdir(), 'muster-api-'));
});
after(async () => {
  await projector.stop();
  await servers.stop();
  rmSync(folder, { recursive: true, force: true });
});

const refused = (pattern: RegExp) => (error: unknown) =>
  error instanceof MusterError && error.code === 'config-invalid' && pattern.test(error.message);

/** A certificate for 127.0.0.1, self-signed. */
const makeCertificate = (): { tlsCertificateFile: string; tlsKeyFile: string } => {
  const keys = forge.pki.rsa.generateKeyPair(2048);
  const certificate = forge.pki.createCertificate();
  certificate.publicKey = keys.publicKey;
  certificate.serialNumber = '01';
  certificate.validity.notBefore = new Date(Date.now() - 60_000);
  certificate.validity.notAfter = new Date(Date.now() + 3_600_000);
  certificate.setSubject([{ name: 'commonName', value: '127.0.0.1' }]);
  certificate.setIssuer(certificate.subject.attributes);
  certificate.setExtensions([{ name: 'subjectAltName', altNames: [{ type: 7, ip: '127.0.0.1' }] }]);
  certificate.sign(keys.privateKey, forge.md.sha256.create());
  const [tlsCertificateFile, tlsKeyFile] = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
  writeFileSync(tlsCertificateFile, forge.pki.certificateToPem(certificate));
  writeFileSync(tlsKeyFile, forge.pki.privateKeyToPem(keys.privateKey));
  return { tlsCertificateFile, tlsKeyFile };
};

test('beyond loopback it needs a certificate, and both its parts readable', async () => {
  const missing = join(folder, 'missing.pem');
  const text = join(folder, 'text.pem');
  writeFileSync(text, 'not a certificate');
  const cases: readonly (readonly [Record<string, string>, RegExp])[] = [
    [{ host: '0.0.0.0' }, /MUSTER_HOST.*MUSTER_TLS_CERT/],
    [{ host: '::' }, /MUSTER_HOST/],
    [{ host: '127.0.0.1.example.com' }, /MUSTER_HOST/],
    [{ tlsCertificateFile: text }, /MUSTER_TLS_KEY/],
    [{ tlsCertificateFile: missing, tlsKeyFile: text }, /MUSTER_TLS_CERT: .*cannot be read/],
    [{ tlsCertificateFile: text, tlsKeyFile: text }, /MUSTER_TLS_CERT or MUSTER_TLS_KEY/],
  ];
  for (const [settings, pattern] of cases)
    await assert.rejects(start(configOf(settings), servers.deps), refused(pattern), JSON.stringify(settings));
});

test('an address that is taken is named', async () => {
  const api = await start(configOf(), servers.deps);
  await assert.rejects(
    start(configOf({ port: String(api.port) }), servers.deps),
    refused(/MUSTER_PORT.*EADDRINUSE/),
  );
  await api.stop();
});

const getOverTls = (url: string) =>
  new Promise<{ status: number; hsts: unknown; body: string }>((resolve, reject) => {
    request(url, { rejectUnauthorized: false, agent: false, headers: { accept: 'text/html' } }, (res) => {
      let body = '';
      res.setEncoding('utf8').on('data', (chunk: string) => {
        body += chunk;
      });
      res.on('end', () =>
        resolve({ status: res.statusCode ?? 0, hsts: res.headers['strict-transport-security'], body }),
      );
    })
      .on('error', reject)
      .end();
  });

test('with a certificate it speaks TLS, and nothing else', async () => {
  const api = await start(configOf(makeCertificate()), servers.deps, { projections: projector });
  try {
    assert.match(api.url, /^https:\/\/127\.0\.0\.1:\d+$/);
    const answer = await getOverTls(`${api.url}/healthz`);
    assert.deepEqual([answer.status, JSON.parse(answer.body)], [200, { alive: true }]);
    assert.match(String(answer.hsts), /max-age/);
    // No page of a third party's scripts where accounts sign in for real.
    assert.equal((await getOverTls(`${api.url}/graphql`)).status, 405);
    await assert.rejects(fetch(api.url.replace('https', 'http')));
  } finally {
    await api.stop();
  }
});

test('it is ready when every part is, and says which one is not', async () => {
  let status: ReturnType<Projector['state']>['status'] = 'live';
  const api = await start(configOf(), servers.deps, {
    projections: { state: () => ({ ...projector.state(), status }) },
  });
  const ready = async (): Promise<Json> => {
    const response = await fetch(`${api.url}/readyz`);
    return { status: response.status, ...((await response.json()) as object) };
  };
  try {
    const good = await ready();
    assert.deepEqual([good.status, good.ready], [200, true]);
    assert.deepEqual(Object.keys(good.parts), ['store', 'sql', 'projector']);
    status = 'standby';
    assert.equal((await ready()).status, 200);
    for (status of ['catching-up', 'failed'] as const) {
      const bad = await ready();
      assert.deepEqual([bad.status, bad.ready, bad.parts.projector.ok], [503, false, false]);
      assert.ok(bad.parts.projector.advice.length > 10);
      assert.equal(bad.parts.store.ok, true);
    }
  } finally {
    await api.stop();
  }
});

test('the catalogue of errors is where problems point to', async () => {
  const api = await start(configOf(), servers.deps);
  const list = (await (await fetch(`${api.url}/errors`)).json()) as Json[];
  assert.ok(list.some(({ code, status }) => code === 'device-missing' && status === 404));
  await api.stop();
});

test('browsers are shown GraphiQL on loopback', async () => {
  const api = await start(configOf(), servers.deps);
  const page = await fetch(`${api.url}/graphql`, { headers: { accept: 'text/html' } });
  assert.deepEqual([page.status, page.headers.get('content-type')], [200, 'text/html']);
  await page.body?.cancel();
  await api.stop();
});

test('after it stopped nobody is answered', async () => {
  const api = await start(configOf(), servers.deps);
  assert.equal((await fetch(`${api.url}/healthz`)).status, 200);
  await api.stop();
  await assert.rejects(fetch(`${api.url}/healthz`));
});
