/** Settings: defaults, and every fault named by its field. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { MusterError } from '../../platform/errors.ts';
import { parseProxyConfig } from '../../proxy/config.ts';
import { folder, openProxy } from './stage.ts';

const sound = {
  publicUrl: 'https://mail.example.org',
  backendUrl: 'https://exchange.example.org',
  serverUrl: 'https://muster.example.org',
  stateDir: '/x/table',
};

test('defaults: loopback, 24 hours, no admin listener; numbers may come as text', () => {
  const config = parseProxyConfig({ ...sound, listenPort: '9443' });
  assert.deepEqual(
    [config.listenHost, config.listenPort, config.maxAgeSeconds, config.adminPort],
    ['127.0.0.1', 9443, 86_400, 0],
  );
});

const faulty: readonly (readonly [string, Record<string, unknown>])[] = [
  ['listenHost', { listenHost: '0.0.0.0' }],
  ['listenPort', { listenPort: 70_000 }],
  ['tls.keyFile', { tls: { certFile: 'a' } }],
  ['publicUrl', { publicUrl: 'mail.example.org' }],
  ['publicUrl', { publicUrl: 'https://mail.example.org/x' }],
  ['backendUrl', { backendUrl: 'ftp://x' }],
  ['backendUrl', { backendUrl: 'https://x/owa' }],
  ['backendUrl', { backendUrl: 'https://u:p@x/' }],
  ['serverUrl', { serverUrl: 'http://muster.example.org' }],
  ['serverPin', { serverPin: 'short' }],
  ['serverPin', { serverPin: 'a'.repeat(64), allowAnyServerCertificate: true }],
  ['stateDir', { stateDir: '' }],
  ['maxAgeSeconds', { maxAgeSeconds: 3_599 }],
  ['adminHost', { adminHost: '0.0.0.0' }],
  ['colour', { colour: 'red' }],
];
for (const [field, change] of faulty) {
  test(`refused, naming ${field}: ${JSON.stringify(change)}`, () => {
    assert.throws(
      () => parseProxyConfig({ ...sound, ...change }),
      (error: unknown) =>
        error instanceof MusterError &&
        error.code === 'config-invalid' &&
        error.field === field &&
        !error.message.includes('token-0123456789'),
    );
  });
}

test('with TLS it may listen everywhere', () => {
  assert.equal(
    parseProxyConfig({ ...sound, listenHost: '0.0.0.0', tls: { certFile: 'a', keyFile: 'b' } }).listenHost,
    '0.0.0.0',
  );
});

test('start names the file it cannot read and the port it cannot have, and leaves nothing open', async (t) => {
  const settings = {
    backendUrl: 'http://127.0.0.1:9',
    serverUrl: 'https://127.0.0.1:9',
    stateDir: `${folder(t)}/table`,
  };
  const named = (field: string) => (error: unknown) =>
    error instanceof MusterError && error.code === 'config-invalid' && error.field === field;
  await assert.rejects(
    openProxy(t, { ...settings, tls: { certFile: '/nonexistent', keyFile: '/nonexistent' } }),
    named('tls.certFile'),
  );
  await assert.rejects(openProxy(t, { ...settings, backendCaFile: '/nonexistent' }), named('backendCaFile'));
  const taken = createServer().listen(0, '127.0.0.1');
  await once(taken, 'listening');
  const { port } = taken.address() as AddressInfo;
  await assert.rejects(openProxy(t, { ...settings, listenPort: port }), named('listenPort'));
  await assert.rejects(openProxy(t, { ...settings, adminPort: port }), named('adminPort'));
  taken.close();
});
