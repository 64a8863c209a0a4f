/** Graceful drain: told first, then no new connection, ended long polls, and time for the rest. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Agent, type IncomingMessage, request, type ServerResponse } from 'node:http';
import { connect } from 'node:net';
import { test } from 'node:test';
import { quietPort } from '../support/port.ts';
import { basic, easBody, openStage, post, syncTarget } from './stage.ts';

const pingTarget = syncTarget.replace('Cmd=Sync', 'Cmd=Ping');

/** One request over a connection that is kept. */
const over = async (agent: Agent, port: number, target = syncTarget) => {
  const req = request({ agent, port, host: '127.0.0.1', method: 'POST', path: target });
  req.setHeader('authorization', basic('alice'));
  req.end();
  const [res] = (await once(req, 'response')) as [IncomingMessage];
  const chunks: Buffer[] = [];
  for await (const chunk of res) chunks.push(chunk as Buffer);
  return { status: res.statusCode, headers: res.headers, body: Buffer.concat(chunks) };
};

test('a Ping ends as an uneventful heartbeat, a Sync with 503 and Retry-After, both connections are given up', async (t) => {
  const { mail, proxy } = await openStage(t);
  mail.stage.answer = () => {};
  const arrived = [once(mail.events, 'request')];
  const ping = post(proxy.port, { target: pingTarget });
  await arrived[0];
  const second = once(mail.events, 'request');
  const sync = post(proxy.port);
  await second;
  const [pinged, synced] = await Promise.all([ping, sync, proxy.stop()]);
  assert.deepEqual(
    [pinged.status, pinged.headers.get('content-type'), pinged.headers.get('connection')],
    [200, 'application/vnd.ms-sync.wbxml', 'close'],
  );
  // Ping (page 13), Status, "1".
  assert.equal(Buffer.from(await pinged.arrayBuffer()).toString('hex'), '03016a00000d45470331000101');
  assert.deepEqual(
    [synced.status, synced.headers.get('retry-after'), synced.headers.get('connection')],
    [503, '10', 'close'],
  );
  const rules = proxy.lines.filter(({ msg }) => msg === 'request').map(({ rule }) => rule);
  assert.deepEqual(rules, ['stopping', 'stopping']);
});

test('the drain is told before it begins: readiness, health and metrics say draining while requests are served', async (t) => {
  const adminPort = await quietPort();
  const { mail, proxy } = await openStage(t, undefined, { adminPort, drainDelaySeconds: 1 });
  const agent = new Agent({ keepAlive: true });
  t.after(() => agent.destroy());
  const ask = async (path: string, method = 'GET') => {
    const response = await fetch(`http://127.0.0.1:${adminPort}${path}`, { method });
    return { status: response.status, text: await response.text() };
  };
  assert.deepEqual([(await ask('/readyz')).status, (await ask('/drain')).status], [200, 404]);
  const byPage = { method: 'POST', headers: { origin: 'https://evil.example.org' } };
  assert.equal((await fetch(`http://127.0.0.1:${adminPort}/drain`, byPage)).status, 403);
  const drained = ask('/drain', 'POST');
  await proxy.until(({ msg }) => msg === 'the proxy drains');
  const ready = await ask('/readyz');
  assert.deepEqual([ready.status, /"reasons":\["draining"\]/.test(ready.text)], [503, true]);
  const health = await ask('/healthz');
  assert.deepEqual([health.status, JSON.parse(health.text).draining], [200, true]);
  assert.match((await ask('/metrics')).text, /^muster_proxy_draining\{instance="mail"\} 1$/m);
  const served = await over(agent, proxy.port);
  assert.deepEqual([served.status, served.headers.connection], [200, 'keep-alive']);
  assert.deepEqual(JSON.parse((await drained).text), { drained: true });
  await assert.rejects(post(proxy.port));
  assert.equal(mail.seen.length, 1);
  // The process is there until it is stopped, and says so.
  assert.equal((await ask('/readyz')).status, 503);
  assert.deepEqual(JSON.parse((await ask('/drain', 'POST')).text), { drained: true });
});

test('while it drains, a request in flight is finished and its connection closed; a new Ping on a kept one ends at once', async (t) => {
  const { mail, proxy } = await openStage(t);
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  t.after(() => agent.destroy());
  const slowSync = syncTarget.replace('Cmd=Sync', 'Cmd=SendMail');
  mail.stage.answer = () => {};
  const arrived = once(mail.events, 'request') as Promise<[IncomingMessage, ServerResponse]>;
  const sent = over(agent, proxy.port, slowSync);
  const [, res] = await arrived;
  // Two requests in a row on one connection: the second is read while the proxy drains.
  const pipelined = connect(proxy.port, '127.0.0.1');
  t.after(() => pipelined.destroy());
  const head = (target: string) =>
    `POST ${target} HTTP/1.1\r\nHost: x\r\nAuthorization: ${basic('alice')}\r\nContent-Length: 0\r\n\r\n`;
  const second = once(mail.events, 'request') as Promise<[IncomingMessage, ServerResponse]>;
  pipelined.write(head(slowSync));
  const [, other] = await second;
  let answers = '';
  pipelined.on('data', (chunk) => {
    answers += chunk.toString('latin1');
  });
  const drained = proxy.drain();
  await proxy.until(({ msg }) => msg === 'the proxy drains');
  res.end('done');
  const { status, headers, body } = await sent;
  assert.deepEqual([status, headers.connection, body.toString()], [200, 'close', 'done']);
  other.end();
  await once(pipelined, 'close');
  assert.match(answers, /^HTTP\/1.1 200 OK[\s\S]*connection: close/i);
  await drained;
});

test('what is left after the drain time is cut, also connections that never got as far as a request', async (t) => {
  const settings = { drainSeconds: 0, trustedProxies: ['127.0.0.1'], proxyProtocol: true };
  const listenerTiming = { proxyHeaderMs: 3_600_000 };
  const { mail, proxy } = await openStage(t, undefined, settings, { listenerTiming });
  mail.stage.answer = () => {};
  const silent = connect(proxy.port, '127.0.0.1').on('error', () => {});
  await once(silent, 'connect');
  const busy = connect(proxy.port, '127.0.0.1').on('error', () => {});
  const arrived = once(mail.events, 'request');
  const auth = `Authorization: ${basic('alice')}`;
  const target = syncTarget.replace('Cmd=Sync', 'Cmd=SendMail');
  busy.write(
    `PROXY UNKNOWN\r\nPOST ${target} HTTP/1.1\r\nHost: x\r\n${auth}\r\nContent-Length: 90000\r\n\r\n`,
  );
  busy.write(easBody('SendMail', 'half'.repeat(10)));
  await arrived;
  const closed = [once(silent.resume(), 'close'), once(busy.resume(), 'close')];
  await proxy.drain();
  await Promise.all(closed);
});
