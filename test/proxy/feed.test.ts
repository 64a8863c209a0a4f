/** Verdicts: snapshot, changes, resumption, outages, restarts, age; and held requests that a verdict ends. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { test } from 'node:test';
import type { Health } from '../../proxy/admin.ts';
import {
  folder,
  healthy,
  openFeed,
  openMailServer,
  openProxy,
  openStage,
  post,
  syncTarget,
  token,
  verdictLine,
} from './stage.ts';

const positioned = (position: string) => (health: Health) => health.position === position;
const pingTarget = syncTarget.replace('Cmd=Sync', 'Cmd=Ping');

test('the feed is asked with the credential and starts with a snapshot', async (t) => {
  const { feed } = await openStage(t);
  const first = await feed.connected(1);
  assert.deepEqual([first.after, first.authorization], [null, `Bearer ${token}`]);
});

test('a device that enrols is served as soon as its verdict arrives; a new EAS id replaces the old one', async (t) => {
  const { feed, proxy } = await openStage(t, []);
  assert.equal((await post(proxy.port)).status, 403);
  feed.send(verdictLine({ easDeviceId: null, position: '11' }), verdictLine({ position: '12' }), {
    kind: 'position',
    position: '12',
  });
  await healthy(proxy, positioned('12'));
  assert.equal((await post(proxy.port)).status, 200);
  feed.send(verdictLine({ easDeviceId: 'NEW', position: '13' }), { kind: 'position', position: '13' });
  await healthy(proxy, positioned('13'));
  assert.equal((await post(proxy.port)).status, 403);
  assert.equal((await post(proxy.port, { target: syncTarget.replace('ABC123', 'new') })).status, 200);
});

test('a verdict that turns to deny ends a held Ping with 403 at once, at both ends', async (t) => {
  const { mail, feed, proxy } = await openStage(t);
  mail.stage.answer = () => {};
  const arrived = once(mail.events, 'request');
  const answer = post(proxy.port, { target: pingTarget });
  const [, held] = (await arrived) as [IncomingMessage, ServerResponse];
  const ended = once(held, 'close');
  feed.send(verdictLine({ access: 'deny', reason: 'encryption is off', position: '11' }));
  const response = await answer;
  assert.deepEqual([response.status, response.headers.get('x-muster-reason')], [403, 'verdict']);
  await ended;
  const line = await proxy.until(({ msg }) => msg === 'request');
  assert.deepEqual([line['decision'], line['reason'], line['status']], ['deny', 'encryption is off', 403]);
});

test('a held request whose answer has begun is broken off, and other devices are left alone', async (t) => {
  const { mail, feed, proxy } = await openStage(t, [
    verdictLine(),
    verdictLine({ deviceId: 'dev_2', easDeviceId: 'OTHER' }),
  ]);
  mail.stage.answer = (_req, res) => void res.writeHead(200).write('x');
  const broken = await post(proxy.port, { target: pingTarget });
  const other = await post(proxy.port, { target: pingTarget.replace('ABC123', 'OTHER') });
  feed.send(verdictLine({ access: 'deny', position: '11' }));
  await assert.rejects(broken.text());
  mail.stage.answer = undefined;
  const reader = (other.body as ReadableStream<Uint8Array>).getReader();
  assert.equal(Buffer.from((await reader.read()).value ?? []).toString(), 'x');
  await reader.cancel();
});

test('a snapshot without the device ends its held requests', async (t) => {
  const { mail, feed, proxy } = await openStage(t);
  mail.stage.answer = () => {};
  const arrived = once(mail.events, 'request');
  const answer = post(proxy.port, { target: pingTarget });
  await arrived;
  feed.send({ kind: 'snapshot' }, { kind: 'position', position: '20' });
  assert.equal((await answer).headers.get('x-muster-reason'), 'device');
});

test('after a break in the middle of a line the feed resumes at its position, and what came since is known', async (t) => {
  const { feed, proxy } = await openStage(t);
  feed.send(verdictLine({ deviceId: 'dev_2', easDeviceId: 'TWO', position: '20' }), {
    kind: 'position',
    position: '21',
  });
  await healthy(proxy, positioned('21'));
  feed.stage.lines = () => [
    verdictLine({ access: 'deny', position: '22' }),
    { kind: 'position', position: '22' },
  ];
  const first = await feed.connected(1);
  first.res.write('{"kind":"verdict","deviceId":"dev_1","acc');
  first.res.destroy();
  assert.equal((await feed.connected(2)).after, '21');
  await healthy(proxy, positioned('22'));
  assert.equal((await post(proxy.port)).status, 403);
  assert.equal((await post(proxy.port, { target: syncTarget.replace('ABC123', 'TWO') })).status, 200);
});

test('verdicts that share a position are all asked for again when the connection breaks between them', async (t) => {
  const { feed, proxy } = await openStage(t);
  feed.send(
    verdictLine({ position: '30' }),
    verdictLine({ position: '31' }),
    verdictLine({ access: 'deny', reason: 'last', position: '31' }),
  );
  await healthy(proxy, positioned('30'));
  for (;;) if ((await post(proxy.port)).status === 403) break;
  feed.stage.connections[0]?.res.destroy();
  assert.equal((await feed.connected(2)).after, '30');
});

test('an older verdict that is repeated does not undo a newer one', async (t) => {
  const { feed, proxy } = await openStage(t);
  feed.send(
    verdictLine({ access: 'deny', position: '12' }),
    verdictLine({ access: 'allow', position: '11' }),
    { kind: 'position', position: '13' },
  );
  await healthy(proxy, positioned('13'));
  assert.equal((await post(proxy.port)).status, 403);
});

test('half a snapshot replaces nothing', async (t) => {
  const { feed, proxy } = await openStage(t);
  feed.send({ kind: 'snapshot' }, verdictLine({ access: 'deny', position: '40' }));
  feed.stage.connections[0]?.res.end();
  assert.equal((await feed.connected(2)).after, '10');
  assert.equal((await post(proxy.port)).status, 200);
});

const broken: readonly (readonly [string, string])[] = [
  ['not JSON', 'hello\n'],
  ['an unknown kind', '{"kind":"evil"}\n'],
  ['a wrong type', `${JSON.stringify(verdictLine({ access: 'maybe' }))}\n`],
  ['a position that is none', '{"kind":"position","position":"-1"}\n'],
  ['a line without end', 'x'.repeat(70_000)],
  ['bytes that are not UTF-8', '"\xff\xfe"\n'],
];
for (const [name, bytes] of broken) {
  test(`a malformed line reconnects and changes nothing: ${name}`, async (t) => {
    const { feed, proxy } = await openStage(t);
    feed.stage.connections[0]?.res.write(Buffer.from(bytes, 'latin1'));
    assert.equal((await feed.connected(2)).after, '10');
    assert.equal((await post(proxy.port)).status, 200);
  });
}

test('a feed that does not begin with a snapshot is not believed', async (t) => {
  const feed = await openFeed(t);
  feed.stage.lines = () => [{ kind: 'position', position: '5' }];
  const proxy = await openProxy(t, { backend: { url: 'http://127.0.0.1:9' }, serverUrl: feed.url });
  await feed.connected(2);
  assert.equal((await post(proxy.port)).headers.get('x-muster-reason'), 'stale');
});

test('a silent feed is given up and asked again', async (t) => {
  const feed = await openFeed(t);
  await openProxy(
    t,
    { backend: { url: 'http://127.0.0.1:9' }, serverUrl: feed.url },
    { timing: { silenceMs: 30, firstRetryMs: 1, lastRetryMs: 2 } },
  );
  assert.equal((await feed.connected(3)).after, '10');
});

test('a refused credential is logged as an error, decisions go on, and the feed is asked again', async (t) => {
  const { feed, proxy } = await openStage(t);
  feed.stage.status = 401;
  feed.stage.connections[0]?.res.destroy();
  await feed.connected(3);
  await proxy.until(({ level, reason }) => level === 50 && /credential/.test(String(reason)));
  assert.equal((await post(proxy.port)).status, 200);
  feed.stage.status = 200;
  await healthy(proxy, (health) => health.connected);
});

test('decisions survive the server, and then a restart of the proxy from its file', async (t) => {
  const mail = await openMailServer(t);
  const feed = await openFeed(t, [
    verdictLine(),
    verdictLine({ deviceId: 'dev_2', easDeviceId: 'BAD', access: 'deny', reason: 'rooted' }),
  ]);
  const settings = {
    backend: { url: mail.url },
    serverUrl: feed.url,
    stateDir: folder(t),
  };
  const check = async (port: number) => {
    assert.equal((await post(port)).status, 200);
    assert.equal((await post(port, { target: syncTarget.replace('ABC123', 'BAD') })).status, 403);
  };
  const first = await openProxy(t, settings);
  await healthy(first);
  feed.server.closeAllConnections();
  feed.server.close();
  await healthy(first, (health) => !health.connected);
  await check(first.port);
  await first.stop();
  const second = await openProxy(t, settings);
  await check(second.port);
  assert.deepEqual((await healthy(second)).devices, 2);
});

test('a restarted proxy resumes where its file ends; another credential starts anew', async (t) => {
  const { feed, mail, proxy } = await openStage(t);
  await proxy.stop();
  const again = await openProxy(t, {
    stateDir: proxy.config.stateDir,
    backend: { url: mail.url },
    serverUrl: feed.url,
  });
  assert.equal((await feed.connected(2)).after, '10');
  await again.stop();
  await openProxy(t, {
    stateDir: proxy.config.stateDir,
    backend: { url: mail.url },
    serverUrl: feed.url,
    serverToken: 'another-token',
  });
  assert.equal((await feed.connected(3)).after, null);
});

test('verdicts older than the limit allow nobody, also across a restart, until the server is heard again', async (t) => {
  let now = Date.UTC(2026, 10, 23);
  const clock = () => now;
  const { feed, mail, proxy } = await openStage(t, undefined, { maxAgeSeconds: 3_600 }, { clock });
  feed.stage.status = 503;
  feed.stage.connections[0]?.res.destroy();
  await feed.connected(2);
  now += 3_600_000;
  assert.equal((await post(proxy.port)).status, 200);
  now += 1;
  const stale = await post(proxy.port);
  assert.deepEqual([stale.status, stale.headers.get('x-muster-reason')], [403, 'stale']);
  const health = proxy.health();
  assert.deepEqual(
    [health.status, health.stale, health.lastContactAt, health.devices],
    ['stale', true, '2026-11-23T00:00:00.000Z', 1],
  );
  await proxy.stop();
  const again = await openProxy(
    t,
    {
      backend: { url: mail.url },
      serverUrl: feed.url,
      stateDir: proxy.config.stateDir,
      maxAgeSeconds: 3_600,
    },
    { clock },
  );
  assert.equal((await post(again.port)).headers.get('x-muster-reason'), 'stale');
  feed.stage.status = 200;
  await healthy(again);
  assert.equal((await post(again.port)).status, 200);
});

for (const [name, damage] of [
  ['cut short', (text: string) => text.slice(0, -30)],
  ['changed', (text: string) => text.replace('"deny"', '"allow"')],
  ['emptied', () => ''],
  ['garbage', () => '\0\xff\n{}'],
  ['continued after its checksum', (text: string) => `${text}["dev_9","X",null,"allow","",1]\n`],
] as const) {
  test(`a damaged file counts as none and nobody is allowed: ${name}`, async (t) => {
    const mail = await openMailServer(t);
    const feed = await openFeed(t, [
      verdictLine(),
      verdictLine({ deviceId: 'dev_2', easDeviceId: 'BAD', access: 'deny' }),
    ]);
    const settings = {
      backend: { url: mail.url },
      serverUrl: feed.url,
      stateDir: folder(t),
    };
    const first = await openProxy(t, settings);
    await healthy(first);
    await first.stop();
    feed.stage.status = 503;
    const text = readFileSync(first.stateFile, 'utf8');
    assert.notEqual(damage(text), text);
    writeFileSync(first.stateFile, damage(text));
    const second = await openProxy(t, settings);
    await second.until(({ level, msg }) => level === 50 && /unusable/.test(msg));
    assert.equal((await post(second.port)).headers.get('x-muster-reason'), 'stale');
  });
}

test('/healthz answers over HTTP on a listener of its own: 200 with verdicts, 503 without', async (t) => {
  let now = Date.UTC(2026, 10, 23);
  // Below the range from which the system hands out ports, so that no parallel test is given it.
  const adminPort = 20_000 + Math.floor(Math.random() * 10_000);
  const { feed, proxy } = await openStage(t, undefined, { adminPort }, { clock: () => now });
  const ask = async (path: string) => {
    const response = await fetch(`http://127.0.0.1:${adminPort}${path}`);
    return { status: response.status, text: await response.text() };
  };
  const { status, text } = await ask('/healthz');
  const mail = {
    status: 'ok',
    devices: 1,
    position: '10',
    connected: true,
    lastContactAt: '2026-11-23T00:00:00.000Z',
    stale: false,
    draining: false,
  };
  assert.deepEqual(JSON.parse(text), { status: 'ok', draining: false, instances: { mail } });
  assert.equal(status, 200);
  assert.deepEqual(JSON.parse((await ask('/healthz/mail')).text), mail);
  assert.equal((await ask('/healthz/toString')).status, 404);
  feed.stage.status = 503;
  feed.stage.connections[0]?.res.destroy();
  await feed.connected(2);
  now += 86_400_001;
  assert.equal((await ask('/healthz')).status, 503);
  assert.equal((await ask('/other')).status, 404);
  assert.equal((await post(proxy.port, { method: 'GET', target: '/healthz' })).status, 403);
});

test('stop closes every connection to the mail server and to the feed', async (t) => {
  const { mail, feed, proxy } = await openStage(t);
  assert.equal((await post(proxy.port)).status, 200);
  const leaving = [...feed.sockets, ...mail.sockets].filter((socket) => !socket.destroyed);
  assert.ok(leaving.length >= 2);
  const closed = leaving.map((socket) => once(socket, 'close'));
  await proxy.stop();
  await Promise.all(closed);
  await assert.rejects(post(proxy.port));
});
