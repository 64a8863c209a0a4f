/** Hostile and broken requests: each is answered with the code that names its fault, and none is stored. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request } from 'node:http';
import { connect } from 'node:net';
import { after, before, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import type { TenantId } from '../../../domain/ids.ts';
import { newId } from '../../../platform/new-id.ts';
import { type Call, type Enrolled, type Stage, startStage } from './stage.ts';

let stage: Stage;
let tenantId: TenantId;
let device: Enrolled;
before(async () => {
  stage = await startStage();
  tenantId = await stage.newTenant('Acme');
  device = await stage.enrolled(tenantId);
});
after(() => stage.stop());

const post = (call: Call) => stage.call('/device/v1/sync', { token: device.deviceToken, ...call });
const expectProblem = async (call: Call, status: number, code: string, field?: string): Promise<void> => {
  const answer = await post(call);
  const shown = JSON.stringify([call.json ?? String(call.bytes).slice(0, 60), answer.body]);
  assert.equal(answer.status, status, shown);
  assert.equal(answer.body['type'], `/errors#${code}`, shown);
  assert.equal(answer.body['field'], field, shown);
};
const mebibyte = 1_048_576;
const text = (value: string) => ({ checkInId: 'c', inventory: { name: value } });
const nested = (depth: number) => `${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`;

test('fields: unknown keys, wrong types, hostile text, ids of other kinds are named', async () => {
  const rows: [unknown, string | undefined][] = [
    [{}, 'checkInId'],
    [[], undefined],
    [null, undefined],
    ['text', undefined],
    [7, undefined],
    [{ checkInId: '' }, 'checkInId'],
    [{ checkInId: 7 }, 'checkInId'],
    [{ checkInId: 'x'.repeat(101) }, 'checkInId'],
    [{ checkInId: 'c', tenantId }, 'tenantId'],
    [{ checkInId: 'c', inventory: { color: 'red' } }, 'inventory.color'],
    [{ checkInId: 'c', inventory: [] }, 'inventory'],
    [{ checkInId: 'c', inventory: { rooted: 'no' } }, 'inventory.rooted'],
    [{ checkInId: 'c', inventory: { batteryPercent: 1e9 } }, 'inventory.batteryPercent'],
    [text('a\u0000b'), 'inventory.name'],
    [text('a\nb'), 'inventory.name'],
    [text('\ud800'), 'inventory.name'],
    [text('x'.repeat(121)), 'inventory.name'],
    [{ checkInId: 'c', apps: { installed: [{ id: 'a', name: 'A' }] } }, 'apps.installed[0].version'],
    [
      { checkInId: 'c', apps: { installed: Array(2001).fill({ id: 'a', name: 'A', version: '1' }) } },
      'apps.installed',
    ],
    [
      { checkInId: 'c', apps: { installed: Array(2).fill({ id: 'a', name: 'A', version: '1' }) } },
      'apps.installed',
    ],
    [{ checkInId: 'c', push: { provider: 'pigeon', token: 't' } }, 'push.provider'],
    [{ checkInId: 'c', push: { provider: 'fcm', token: 'a b' } }, 'push.token'],
    [
      { checkInId: 'c', taskResults: [{ taskId: newId('dev'), status: 'completed' }] },
      'taskResults[0].taskId',
    ],
    [{ checkInId: 'c', taskResults: [{ taskId: newId('tsk'), status: 'done' }] }, 'taskResults[0].status'],
    [
      { checkInId: 'c', taskResults: Array(2).fill({ taskId: newId('tsk'), status: 'completed' }) },
      'taskResults',
    ],
    [
      { checkInId: 'c', appliedPolicies: [{ policyId: newId('pol'), version: 0 }] },
      'appliedPolicies[0].version',
    ],
  ];
  for (const [json, field] of rows) await expectProblem({ json }, 422, 'invalid-input', field);
  const key = (json: string) => ({ bytes: `{"checkInId":"c",${json}}` });
  await expectProblem(key('"__proto__":{"admin":true}'), 422, 'invalid-input', '__proto__');
  await expectProblem(key('"inventory":{"__proto__":null}'), 422, 'invalid-input', 'inventory.__proto__');
  await expectProblem(key('"inventory":{"constructor":1}'), 422, 'invalid-input', 'inventory.constructor');
  await expectProblem(key(`"${'k'.repeat(5000)}":1`), 422, 'invalid-input', 'k'.repeat(200));
});

test('template and shell text is only text', async () => {
  for (const value of ['{{7*7}}', '$(id)', "'; drop table x; --", '<script>', '%00', '../../etc/passwd'])
    assert.equal((await post({ json: { ...text(value), checkInId: value } })).status, 200);
});

test('JSON: broken, not UTF-8, nested too deeply, a key twice', async () => {
  for (const bytes of [
    '',
    '{',
    '{"checkInId":"c",}',
    'undefined',
    '{"a":NaN}',
    "{'a':1}",
    '{"a":"\n"}',
    '{} {}',
  ])
    await expectProblem({ bytes }, 400, 'invalid-json');
  await expectProblem(
    { bytes: Buffer.from('7b22636865636b496e4964223a22ff227d', 'hex') },
    400,
    'invalid-json',
  );
  await expectProblem({ bytes: Buffer.from('{"checkInId":"é"}', 'utf16le') }, 400, 'invalid-json');
  await expectProblem({ bytes: '{"checkInId":"c","checkInId":"d"}' }, 400, 'invalid-json');
  await expectProblem(
    { bytes: '{"checkInId":"c","inventory":{"rooted":true,"rooted":false}}' },
    400,
    'invalid-json',
  );
  await expectProblem({ bytes: '{"checkInId":"c","\\u0063heckInId":"d"}' }, 400, 'invalid-json');
  await expectProblem({ bytes: nested(10) }, 422, 'invalid-input', 'checkInId');
  await expectProblem({ bytes: nested(11) }, 400, 'body-too-deep');
  await expectProblem({ bytes: '['.repeat(mebibyte) }, 400, 'body-too-deep');
  for (const checkInId of ['{"a":{"b":', 'a\\"b:{[', '\\\\', '":"'])
    assert.equal((await post({ json: { checkInId } })).status, 200, checkInId);
});

test('media types and encodings', async () => {
  const json = { checkInId: 'media' };
  const as = (headers: Record<string, string>) => ({ json, headers });
  for (const type of [
    'text/plain',
    'application/xml',
    'application/json; charset=latin1',
    'application/jsonx',
    '',
  ])
    await expectProblem(as({ 'content-type': type }), 415, 'unsupported-media-type', 'Content-Type');
  for (const type of ['application/json; charset=utf-8', 'Application/JSON;charset="UTF-8"'])
    assert.equal((await post(as({ 'content-type': type }))).status, 200, type);
  for (const encoding of ['br', 'deflate', 'gzip, gzip', 'zstd'])
    await expectProblem(
      as({ 'content-encoding': encoding }),
      415,
      'unsupported-encoding',
      'Content-Encoding',
    );
  assert.equal((await post(as({ 'content-encoding': 'identity' }))).status, 200);
});

test('gzip: small and large bodies pass; bombs and damage do not', async () => {
  const packed = (bytes: Buffer): Call => ({ bytes, headers: { 'content-encoding': 'gzip' } });
  const small = gzipSync(JSON.stringify({ checkInId: 'gz1' }));
  assert.equal((await post(packed(small))).status, 200);
  const installed = Array.from({ length: 1500 }, (_, index) => ({
    id: `app.${index}.${Math.sin(index)}`,
    name: `A ${index}`,
    version: '1',
  }));
  const large = gzipSync(JSON.stringify({ checkInId: 'gz2', apps: { complete: true, installed } }));
  assert.ok(large.length > 4096);
  assert.equal((await post(packed(large))).status, 200);
  await expectProblem(packed(gzipSync(Buffer.alloc(mebibyte + 1, 32))), 413, 'body-too-large');
  await expectProblem(packed(gzipSync(Buffer.alloc(30 * mebibyte, 32))), 413, 'body-too-large');
  await expectProblem(packed(small.subarray(0, -6)), 400, 'invalid-json');
  await expectProblem(packed(Buffer.from('not gzip')), 400, 'invalid-json');
  await expectProblem(packed(Buffer.alloc(0)), 400, 'invalid-json');
});

test('size: one mebibyte passes, one byte more does not, declared or not', async () => {
  const padded = (bytes: number) => JSON.stringify({ checkInId: 'size' }).padEnd(bytes, ' ');
  assert.equal((await post({ bytes: padded(mebibyte) })).status, 200);
  await expectProblem({ bytes: padded(mebibyte + 1) }, 413, 'body-too-large');
  const sent = request({
    host: '127.0.0.1',
    port: stage.port,
    path: '/device/v1/sync',
    method: 'POST',
    headers: { authorization: `Bearer ${device.deviceToken}`, 'content-type': 'application/json' },
  });
  sent.on('error', () => {});
  const answered = once(sent, 'response');
  for (let chunk = 0; chunk < 17; chunk += 1) sent.write(Buffer.alloc(65_536, 32));
  const [response] = await answered;
  assert.equal(response.statusCode, 413);
  assert.equal(response.headers.connection, 'close');
  sent.destroy();
});

test('a body that is cut off is not stored, and the server lives on', async () => {
  const before = (await stage.eventsOf(tenantId, device.deviceId)).length;
  const socket = connect(stage.port, '127.0.0.1');
  socket.write(
    `POST /device/v1/sync HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${device.deviceToken}\r\n` +
      'Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"checkInId":"cut"',
  );
  socket.end();
  socket.resume();
  await once(socket, 'close');
  assert.equal((await post({ json: { checkInId: 'alive' } })).status, 200);
  assert.equal((await stage.eventsOf(tenantId, device.deviceId)).length, before + 1);
});

test('paths and methods: exactly the documented ones', async () => {
  const options = { token: device.deviceToken, json: { checkInId: 'path' } };
  for (const path of [
    '/device/v1/',
    '/device/v1/Sync',
    '/device/v1/sync/',
    '/device/v1//sync',
    '/device/v1/./sync',
    '/device/v1/%73ync',
    '/device/v1/sync;a=b',
    '/device/v1/enroll/../sync',
    '/device/v1/constructor',
    '/device/v1/__proto__',
  ]) {
    const { status, body } = await stage.call(path, options);
    assert.deepEqual([status, body['type']], [404, '/errors#not-found'], path);
  }
  for (const path of ['/device/v1', '/device/v2/sync', '/DEVICE/v1/sync', '/graphql', '//device/v1/sync'])
    assert.equal((await stage.call(path, options)).status, 418, path);
  assert.equal((await stage.call('/device/v1/sync?x=1', options)).status, 200);
  for (const [method, path, allow] of [
    ['GET', '/device/v1/sync', 'POST'],
    ['PUT', '/device/v1/enroll', 'POST'],
    ['OPTIONS', '/device/v1/sync', 'POST'],
    ['POST', '/device/v1/openapi.json', 'GET'],
  ] as const) {
    const { status, headers } = await stage.call(path, { method, token: device.deviceToken });
    assert.deepEqual([status, headers['allow']], [405, allow], path);
  }
});
