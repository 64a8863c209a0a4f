/**
 * How a proxy is watched: reports to the server, metrics, readiness and explanations, each over its own socket.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AccessEntry } from '../../proxy/access-log.ts';
import { maxKinds, openDenialTally } from '../../proxy/denial-tally.ts';
import { folder, openStage, post, verdictLine } from './stage.ts';

const denied: AccessEntry = {
  instance: 'mail',
  client: '192.0.2.7',
  method: 'POST',
  protocol: 'eas',
  cmd: 'Sync',
  user: 'alice',
  deviceId: 'ABC123',
  decision: 'deny',
  rule: 'verdict',
  reason: 'the device is rooted',
  status: 403,
  durationMs: 1,
  bytesIn: 0,
  bytesOut: 0,
  fault: null,
};

test('the first refusal of a kind is due at once, its repetitions together when the window ends', () => {
  let now = Date.parse('2026-11-25T12:00:00Z');
  const tally = openDenialTally(() => now);
  assert.equal(tally.record(denied), true);
  assert.equal(tally.take()?.denials[0]?.count, 1);
  for (let index = 0; index < 5; index += 1) assert.equal(tally.record(denied), false);
  assert.equal(tally.take(), null);
  now += 600_000;
  const due = tally.take();
  assert.deepEqual([due?.denials.length, due?.denials[0]?.count, due?.others], [1, 5, 0]);
  assert.equal(tally.take(), null);
  assert.equal(tally.total(), 6);
});

test('however many ids a hostile client makes up, a report stays bounded and the rest is counted', () => {
  let now = Date.parse('2026-11-25T12:00:00Z');
  const tally = openDenialTally(() => now);
  for (let index = 0; index < 5_000; index += 1) tally.record({ ...denied, deviceId: `EVIL${index}` });
  const first = tally.take();
  assert.deepEqual([first?.denials.length, first?.others], [maxKinds, 5_000 - maxKinds]);
  for (let index = 0; index < 5_000; index += 1) tally.record({ ...denied, deviceId: `MORE${index}` });
  assert.equal(tally.take(), null, 'nothing more within the window');
  now += 600_000;
  assert.deepEqual(tally.take(), { denials: [], others: 5_000 });
});

test('scanners, ends of the proxy and what is allowed are no refusals of a device', () => {
  const tally = openDenialTally(() => 0);
  assert.equal(tally.record({ ...denied, user: null, deviceId: null, rule: 'path' }), false);
  assert.equal(tally.record({ ...denied, rule: 'stopping' }), false);
  assert.equal(tally.record({ ...denied, decision: 'allow' }), false);
  assert.equal(tally.take(), null);
});

test('the server is told how the proxy is, and of a refusal as soon as it happens', async (t) => {
  const { feed, proxy } = await openStage(
    t,
    undefined,
    {},
    { reportTiming: { everyMs: 1_000_000, soonMs: 1 } },
  );
  await feed.reported(({ state }) => state.startedAt !== undefined);
  const response = await post(proxy.port, { user: 'mallory' });
  await response.arrayBuffer();
  const { state, denials, others } = await feed.reported(({ denials }) => denials.length > 0);
  assert.deepEqual(
    [denials[0].user, denials[0].easDeviceId, denials[0].rule, denials[0].count, others],
    ['mallory', 'ABC123', 'user', 1, 0],
  );
  assert.deepEqual([state.devices, state.denials, state.connected, state.stale], [1, 1, true, false]);
});

test('the admin listener serves metrics, readiness and explanations, and nothing else', async (t) => {
  const adminPort = 20_000 + Math.floor(Math.random() * 10_000);
  const { proxy } = await openStage(
    t,
    [
      verdictLine(),
      verdictLine({ deviceId: 'dev_2', easDeviceId: 'BAD1', access: 'deny', reason: 'the device is rooted' }),
    ],
    { adminPort },
  );
  const ask = async (path: string) => {
    const response = await fetch(`http://127.0.0.1:${adminPort}${path}`);
    return { status: response.status, text: await response.text() };
  };
  await (await post(proxy.port)).arrayBuffer();
  await (await post(proxy.port, { user: 'mallory' })).arrayBuffer();
  await proxy.until(({ decision }) => decision === 'deny');
  const { text } = await ask('/metrics');
  assert.match(text, /^muster_proxy_requests_total\{instance="mail",decision="allow",rule="verdict"\} 1$/m);
  assert.match(text, /^muster_proxy_requests_total\{instance="mail",decision="deny",rule="user"\} 1$/m);
  assert.match(text, /^muster_proxy_devices\{instance="mail"\} 2$/m);
  assert.match(text, /^muster_proxy_request_seconds_count\{instance="mail",decision="allow"\} 1$/m);
  assert.match(text, /^muster_proxy_process_cpu_seconds_total /m);
  assert.doesNotMatch(text, /mallory|ABC123/);
  assert.deepEqual(JSON.parse((await ask('/readyz')).text), {
    ready: true,
    instances: [{ instance: 'mail', ready: true, reasons: [] }],
  });
  const allowed = JSON.parse((await ask('/explain?deviceId=abc123&user=alice')).text);
  assert.deepEqual([allowed.allow, allowed.rule], [true, 'verdict']);
  assert.equal(allowed.opinions[0].rule, 'certificate');
  assert.equal(allowed.opinions[0].allow, null);
  const refused = JSON.parse((await ask('/explain?deviceId=BAD1&user=ALICE@example.org')).text);
  assert.deepEqual(
    [refused.allow, refused.rule, refused.reason, refused.opinions.at(-1).allow],
    [false, 'verdict', 'the device is rooted', false],
  );
  assert.equal(JSON.parse((await ask('/explain?deviceId=a%26DeviceId=b&user=alice')).text).rule, 'request');
  assert.equal((await ask('/explain?user=alice')).status, 400);
  assert.equal((await ask('/explain?deviceId=a&user=b&instance=other')).status, 404);
  assert.equal((await ask('/')).status, 404);
});

test('a real request is explained by the rule that decided it', async (t) => {
  const adminPort = 20_000 + Math.floor(Math.random() * 10_000);
  const { proxy } = await openStage(t, undefined, { adminPort, log: { file: `${folder(t)}/access.log` } });
  for (const user of ['alice', 'mallory', 'EXAMPLE\\alice']) {
    const response = await post(proxy.port, { user });
    await response.arrayBuffer();
    const query = new URLSearchParams({ deviceId: 'ABC123', user });
    const said = (await (await fetch(`http://127.0.0.1:${adminPort}/explain?${query}`)).json()) as {
      allow: boolean;
      rule: string;
    };
    assert.equal(said.allow, response.status === 200);
    if (!said.allow) assert.equal(said.rule, response.headers.get('x-muster-reason'));
  }
});
