/**
 * The OpenAPI document against the code, both ways: it is valid, every answer the server gives is declared and fits,
 * and every answer it declares can be had.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request } from 'node:http';
import { after, before, test } from 'node:test';
import { Validator } from '@seriousme/openapi-schema-validator';
import { enrolmentDecider } from '../../../domain/enrolment/decide.ts';
import type { TenantId } from '../../../domain/ids.ts';
import { tenantDecider } from '../../../domain/tenant/decide.ts';
import { openEventStore } from '../../../platform/event-store.ts';
import { openHandler } from '../../../platform/handle.ts';
import { newCode, newUuid } from '../../../platform/new-id.ts';
import { noSnapshots } from '../../../platform/snapshots.ts';
import { type Json, type Stage, startStage } from './stage.ts';

let stage: Stage;
let tenantId: TenantId;
before(async () => {
  stage = await startStage();
  tenantId = await stage.newTenant('Acme');
});
after(() => stage.stop());

const ask = (code: string, over: Json = {}): Json => ({
  code,
  requestId: newUuid(),
  platform: 'android',
  ...over,
});

test('the document is valid OpenAPI 3.1 and served as it is', async () => {
  const { status, headers, body } = await stage.call('/device/v1/openapi.json', { method: 'GET' });
  assert.equal(status, 200);
  assert.equal(headers['content-type'], 'application/json');
  const validator = new Validator();
  const result = await validator.validate(structuredClone(body));
  assert.deepEqual([result.valid, result.errors], [true, undefined]);
  assert.equal(validator.version, '3.1');
});

test('requests that the document refuses are refused, and those it accepts are accepted', async () => {
  const { body } = await stage.call('/device/v1/openapi.json', { method: 'GET' });
  const { SyncRequest } = (body as { components: { schemas: Record<string, Json> } }).components.schemas;
  assert.equal(SyncRequest?.['additionalProperties'], false);
  assert.deepEqual(SyncRequest?.['required'], ['checkInId']);
  const properties = Object.keys((SyncRequest as { properties: Json }).properties);
  assert.deepEqual(properties.sort(), [
    'appliedPolicies',
    'apps',
    'checkInId',
    'inventory',
    'push',
    'taskResults',
  ]);
});

/** Requests that must be answered with the given status, whatever the route. */
const bodyFaults: [number, Record<string, unknown>][] = [
  [400, { bytes: '{' }],
  [413, { bytes: ' '.repeat(1_048_577) }],
  [415, { json: {}, headers: { 'content-type': 'text/plain' } }],
  [422, { json: { extra: 1 } }],
];

test('every declared answer can be had', async () => {
  const { call, enroll, sync, conformance } = stage;
  const expect = async (answer: Promise<{ status: number; body: Json }>, status: number) => {
    const { status: actual, body } = await answer;
    assert.equal(actual, status, JSON.stringify(body));
    return body;
  };
  await expect(call('/device/v1/openapi.json', { method: 'GET' }), 200);

  const { code } = await stage.newEnrolment(tenantId);
  const device = await expect(enroll(ask(code)), 201);
  const token = device['deviceToken'] as string;
  for (const [status, fault] of bodyFaults) {
    await expect(call('/device/v1/enroll', fault), status);
    await expect(call('/device/v1/sync', { ...fault, token }), status);
  }
  await expect(enroll(ask(newCode())), 404);
  await expect(enroll(ask(code)), 409);
  const revoked = await stage.newEnrolment(tenantId);
  await stage.run(enrolmentDecider, tenantId, revoked.enrolmentId, { type: 'RevokeEnrolment' });
  await expect(enroll(ask(revoked.code)), 410);

  await expect(sync(token, { checkInId: 'c1' }), 200);
  await expect(sync(undefined, { checkInId: 'c1' }), 401);
  await stage.run(tenantDecider, tenantId, tenantId, { type: 'SuspendTenant', reason: 'unpaid' });
  const unused = await stage.newEnrolment(tenantId);
  await expect(enroll(ask(unused.code)), 403);
  await expect(sync(token, { checkInId: 'c2' }), 403);
  await stage.run(tenantDecider, tenantId, tenantId, { type: 'ReactivateTenant' });

  // No event store: nothing is acknowledged.
  const store = openEventStore('esdb://127.0.0.1:1?tls=false&maxDiscoverAttempts=1&discoveryInterval=1');
  const lost = await stage.serve({
    store,
    handler: openHandler({ store, clock: stage.deps.clock, snapshots: noSnapshots }),
  });
  await expect(lost.sync(token, { checkInId: 'c3' }), 503);
  await expect(lost.enroll(ask(unused.code)), 503);
  await store.close();

  for (let tries = 0; tries < 19; tries += 1) await expect(enroll(ask(newCode())), 404);
  await expect(enroll(ask(unused.code)), 429);
  stage.advance(601_000);

  await stage.onDevice(tenantId, device['deviceId'] as string, (now) => ({
    type: 'UnenrolDevice',
    now,
    compliance: null,
  }));
  await expect(sync(token, { checkInId: 'c4' }), 410);

  assert.deepEqual([...conformance.met].sort(), [...conformance.declared].sort());
});

test('a full server turns requests away with Retry-After, and takes them again', async () => {
  const { deviceToken } = await stage.enrolled(tenantId);
  const narrow = await stage.serve({}, { checkIns: 1, enrolments: 1 });
  const { code } = await stage.newEnrolment(tenantId);
  for (const [path, json, token, status] of [
    ['/device/v1/sync', { checkInId: 'held' }, deviceToken, 200],
    ['/device/v1/enroll', ask(code), undefined, 201],
  ] as const) {
    const bytes = JSON.stringify(json);
    const held = request({
      host: '127.0.0.1',
      port: narrow.port,
      path,
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'content-length': bytes.length,
        ...(token ? { authorization: `Bearer ${token}` } : {}),
        expect: '100-continue',
      },
    });
    held.flushHeaders();
    await once(held, 'continue');
    const turnedAway = await narrow.call(path, { json, token });
    assert.deepEqual([turnedAway.status, turnedAway.body['type']], [503, '/errors#too-busy']);
    assert.equal(turnedAway.headers['retry-after'], '5');
    held.end(bytes);
    const [response] = await once(held, 'response');
    assert.equal(response.statusCode, status);
    response.resume();
    await once(response, 'end');
    if (token) assert.equal((await narrow.sync(token, { checkInId: 'after' })).status, 200);
  }
});
