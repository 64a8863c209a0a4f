/** Settings: defaults, and every fault named by its field. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { chmodSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { MusterError } from '../../platform/errors.ts';
import { parseProxyConfig } from '../../proxy/config.ts';
import { permissionAdvice, readProxyConfig } from '../../proxy/config-file.ts';
import { folder, openProxy } from './stage.ts';

const soundInstance = {
  name: 'mail',
  publicUrl: 'https://mail.example.org',
  backend: { url: 'https://exchange.example.org' },
};
const sound = { serverUrl: 'https://muster.example.org', stateDir: '/x', instances: [soundInstance] };
const withInstance = (change: object) => ({ ...sound, instances: [{ ...soundInstance, ...change }] });

test('defaults: loopback, 24 hours, no admin listener; numbers may come as text', () => {
  const config = parseProxyConfig(withInstance({ listenPort: '9443' }));
  const [instance] = config.instances;
  assert.deepEqual(
    [instance?.listenHost, instance?.listenPort, config.maxAgeSeconds, config.adminPort],
    ['127.0.0.1', 9443, 86_400, 0],
  );
});

const fingerprint = 'ab:'.repeat(31).concat('cd');
const faulty: readonly (readonly [string, Record<string, unknown>])[] = [
  ['serverUrl', { ...sound, serverUrl: 'http://muster.example.org' }],
  ['serverPin', { ...sound, serverPin: 'ab:cd' }],
  ['serverPin', { ...sound, serverPin: fingerprint, allowAnyServerCertificate: true }],
  ['stateDir', { ...sound, stateDir: '' }],
  ['maxAgeSeconds', { ...sound, maxAgeSeconds: 3_599 }],
  ['adminHost', { ...sound, adminHost: '0.0.0.0' }],
  ['colour', { ...sound, colour: 'red' }],
  ['log.format', { ...sound, log: { format: 'xml' } }],
  ['log.maxTotalMb', { ...sound, log: { maxTotalMb: 1 } }],
  ['log.colour', { ...sound, log: { colour: 'red' } }],
  ['instances', { ...sound, instances: [] }],
  ['instances[1].name', { ...sound, instances: [soundInstance, { ...soundInstance, listenPort: 1 }] }],
  ['instances[1].listenPort', { ...sound, instances: [soundInstance, { ...soundInstance, name: 'two' }] }],
  ['instances[0].name', withInstance({ name: '../x' })],
  ['instances[0].listenHost', withInstance({ listenHost: '0.0.0.0' })],
  ['instances[0].listenPort', withInstance({ listenPort: 70_000 })],
  ['instances[0].tls.keyFile', withInstance({ tls: { certFile: 'a' } })],
  ['instances[0].tls.certFile', withInstance({ tls: { certFile: 1, keyFile: 'b' } })],
  ['instances[0].tls', withInstance({ tls: 'yes' })],
  ['instances[0].tls.keyFile', withInstance({ tls: { pkcs12File: 'a', keyFile: 'b' } })],
  ['instances[0].tls.selfSigned.hostName', withInstance({ tls: { selfSigned: { hostName: 'a b' } } })],
  ['instances[0].publicUrl', withInstance({ publicUrl: 'mail.example.org' })],
  ['instances[0].publicUrl', withInstance({ publicUrl: 'https://mail.example.org/x' })],
  ['instances[0].backend.url', withInstance({ backend: { url: 'ftp://x' } })],
  ['instances[0].backend.url', withInstance({ backend: { url: 'https://x/owa' } })],
  ['instances[0].backend.url', withInstance({ backend: { url: 'https://u:p@x/' } })],
  ['instances[0].backend', withInstance({ backend: { url: 'https://x', caFile: 'a', pin: fingerprint } })],
  ['instances[0].backend.colour', withInstance({ backend: { url: 'https://x', colour: 'red' } })],
  ['instances[0].serverToken', withInstance({ serverToken: 'token-0123456789' })],
  ['instances[0].proxyProtocol', withInstance({ proxyProtocol: true })],
  ['instances[0].trustedProxies[0]', withInstance({ trustedProxies: ['10.0.0.0/33'] })],
  ['instances[0].clientCertificates', withInstance({ clientCertificates: { caFile: 'ca.crt' } })],
  ['drainDelaySeconds', { ...sound, drainDelaySeconds: 601 }],
];
for (const [field, settings] of faulty) {
  test(`refused, naming ${field}: ${JSON.stringify(settings)}`, () => {
    assert.throws(
      () => parseProxyConfig(settings),
      (error: unknown) =>
        error instanceof MusterError && error.code === 'config-invalid' && error.field === field,
    );
  });
}

test('the log has its defaults beside what is given', () => {
  const { log } = parseProxyConfig({ ...sound, log: { level: 'warn', file: '/x/access.log' } });
  assert.deepEqual(log, {
    level: 'warn',
    file: '/x/access.log',
    format: 'json',
    retentionDays: 30,
    maxTotalMb: 1_000,
  });
});

test('all faults are named at once', () => {
  const faults = { ...withInstance({ listenPort: -1, backend: {} }), maxAgeSeconds: 1 };
  assert.throws(
    () => parseProxyConfig(faults),
    ({ message }: Error) =>
      ['maxAgeSeconds:', 'instances[0].listenPort:', 'instances[0].backend.url:'].every((field) =>
        message.includes(field),
      ),
  );
});

test('with TLS it may listen everywhere; a pin is read with and without colons', () => {
  const backend = { url: 'https://x', pin: fingerprint };
  const tls = { certFile: 'a', keyFile: 'b' };
  const [instance] = parseProxyConfig(withInstance({ listenHost: '0.0.0.0', tls, backend })).instances;
  assert.deepEqual(
    [instance?.listenHost, instance?.backend.pin, instance?.tls],
    ['0.0.0.0', 'ab'.repeat(31).concat('cd'), tls],
  );
});

test('start names the file it cannot read and the port it cannot have, and leaves nothing open', async (t) => {
  const settings = {
    backend: { url: 'http://127.0.0.1:9' },
    serverUrl: 'https://127.0.0.1:9',
    stateDir: folder(t),
  };
  const named = (field: string) => (error: unknown) =>
    error instanceof MusterError && error.code === 'config-invalid' && error.field === field;
  await assert.rejects(
    openProxy(t, { ...settings, tls: { certFile: '/nonexistent', keyFile: '/nonexistent' } }),
    named('instances[0].tls.certFile'),
  );
  await assert.rejects(
    openProxy(t, { ...settings, backend: { ...settings.backend, caFile: '/nonexistent' } }),
    named('instances[0].backend.caFile'),
  );
  const taken = createServer().listen(0, '127.0.0.1');
  await once(taken, 'listening');
  const { port } = taken.address() as AddressInfo;
  await assert.rejects(openProxy(t, { ...settings, listenPort: port }), named('instances[0].listenPort'));
  await assert.rejects(openProxy(t, { ...settings, adminPort: port }), named('adminPort'));
  taken.close();
});

test('the file may be YAML or JSON; what cannot be read is named, aliases are refused, and open permissions are told', (t) => {
  const file = join(folder(t), 'proxy.yaml');
  const write = (text: string) => writeFileSync(file, text, { mode: 0o600 });
  write(JSON.stringify(sound));
  assert.equal(readProxyConfig(file).instances[0]?.name, 'mail');
  write(
    `serverUrl: https://muster.example.org\ninstances:\n  - name: mail\n    publicUrl: https://mail.example.org\n    backend: { url: https://x }\n`,
  );
  assert.equal(readProxyConfig(file).instances[0]?.backend.url.href, 'https://x/');
  assert.equal(permissionAdvice(file), undefined);
  chmodSync(file, 0o644);
  assert.equal(permissionAdvice(file), undefined);
  chmodSync(file, 0o664);
  assert.match(permissionAdvice(file) ?? '', /chmod 600/);
  const refused = (reason: RegExp) => assert.throws(() => readProxyConfig(file), reason);
  write('a: [');
  refused(/proxy.yaml: /);
  write('a: &a [1]\nb: *a\n');
  refused(/aliases/);
  write('serverUrl: 1\nserverUrl: 2\n');
  refused(/unique/);
  assert.throws(() => readProxyConfig(`${file}.none`), /cannot be read/);
});
