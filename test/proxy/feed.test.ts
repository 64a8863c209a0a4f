/** Verdicts: snapshot, changes, resumption, restarts; and held requests that a verdict ends. Outages: outage.test.ts. */
import assert from 'node:assert/strict';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { appendFileSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { join } from 'node:path';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { publicKeySha256 } from '../../platform/pki.ts';
import { newSigningKey, signLine } from '../../platform/signed-line.ts';
import type { Health } from '../../proxy/admin.ts';
import { readIdentity } from '../../proxy/identity.ts';
import {
  feedCertificates,
  folder,
  healthy,
  openFeed,
  openMailServer,
  openProxy,
  openStage,
  post,
  syncTarget,
  verdictLine,
} from './stage.ts';

const positioned = (position: string) => (health: Health) => health.position === position;
const pingTarget = syncTarget.replace('Cmd=Sync', 'Cmd=Ping');

test('the feed is asked with the registered certificate and starts with a snapshot', async (t) => {
  const { feed, proxy } = await openStage(t);
  const first = await feed.connected(1);
  const { sha256 } = readIdentity(proxy.folder);
  assert.deepEqual([first.after, first.certificate, first.trust], [null, sha256, 'verified']);
  assert.deepEqual(
    proxy.lines.filter(({ level }) => Number(level) > 30),
    [],
    'a first start is nothing to warn of',
  );
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
  feed.stage.connections[0]?.send([{ kind: 'snapshot' }, verdictLine({ access: 'deny', position: '40' })], {
    snapshot: 'part',
  });
  feed.stage.connections[0]?.res.destroy();
  assert.equal((await feed.connected(2)).after, '10');
  assert.equal((await post(proxy.port)).status, 200);
});

const deny = [verdictLine({ access: 'deny', position: '11' })];
const otherKey = createPrivateKey(newSigningKey());
type Connection = Awaited<ReturnType<typeof openFeed>>['stage']['connections'][number];
const broken: readonly (readonly [string, (connection: Connection) => void])[] = [
  ['no signature', ({ raw }) => raw('{"seq":1}')],
  ['another signature', ({ raw }) => raw(signLine(otherKey, '{"seq":1}'))],
  [
    'a signed text that was changed',
    ({ raw, lines }) => raw((lines[0] as string).replace('"allow"', '"deny"').replace('"seq":0', '"seq":1')),
  ],
  ['a batch that is repeated', ({ raw, lines }) => raw(lines[0] as string)],
  ['a batch that was left out before', ({ send }) => send(deny, { seq: 2 })],
  ['a batch of another connection', ({ send }) => send(deny, { nonce: 'x'.repeat(24) })],
  ['a batch of another time', ({ send }) => send(deny, { from: '9' })],
  ['a batch that goes back', ({ send }) => send(deny, { position: '9' })],
  ['an older snapshot', ({ send }) => send(deny, { from: null, snapshot: 'last', position: '9' })],
  ['a wrong type', ({ send }) => send(deny, { verdicts: [['dev_1', 'ABC123', null, 3, '', 11]] })],
  ['a line that is too long', ({ raw }) => raw('x'.repeat(9_000_000))],
];
for (const [name, breakIt] of broken) {
  test(`a batch that breaks the contract reconnects and changes nothing: ${name}`, async (t) => {
    const { feed, proxy } = await openStage(t);
    breakIt(feed.stage.connections[0] as Connection);
    assert.equal((await feed.connected(2)).after, '10');
    assert.equal((await post(proxy.port)).status, 200);
  });
}

test('a server that signs with another key than at the first contact is not believed', async (t) => {
  const { feed, proxy } = await openStage(t);
  feed.stage.key = otherKey;
  feed.stage.connections[0]?.res.destroy();
  await proxy.until(({ reason }) => /another key/.test(String(reason)));
  assert.equal((await post(proxy.port)).status, 200);
});

test('a log that was restored from an older backup says so and is believed', async (t) => {
  const { feed, proxy } = await openStage(t);
  feed.stage.connections[0]?.send(deny, { from: null, snapshot: 'last', position: '5', reset: true });
  await healthy(proxy, positioned('5'));
  assert.equal((await post(proxy.port)).status, 403);
});

test('a proxy that is registered with another tenant forgets the first at once', async (t) => {
  const { feed, proxy } = await openStage(t);
  feed.stage.lines = () => [{ kind: 'snapshot' }, { kind: 'position', position: '12' }];
  feed.stage.connections[0]?.send([{ kind: 'position', position: '12' }], { tenantId: 'other' });
  assert.equal((await feed.connected(2)).after, null);
  await healthy(proxy, (health) => health.position === '12' && health.devices === 0);
});

test('a feed that does not begin with a snapshot is not believed', async (t) => {
  const feed = await openFeed(t);
  feed.stage.lines = () => [{ kind: 'position', position: '5' }];
  const proxy = await openProxy(t, { backend: { url: 'http://127.0.0.1:9' }, serverUrl: feed.url });
  await feed.connected(2);
  assert.equal((await post(proxy.port)).headers.get('x-muster-reason'), 'unready');
});

test('a silent feed is given up and asked again', async (t) => {
  const feed = await openFeed(t);
  await openProxy(
    t,
    { backend: { url: 'http://127.0.0.1:9' }, serverUrl: feed.url },
    { timing: { silenceMs: 300, firstRetryMs: 1, lastRetryMs: 2 } },
  );
  assert.equal((await feed.connected(3)).after, '10');
});

test('a refused credential is logged as an error, decisions go on, and the feed is asked again', async (t) => {
  const { feed, proxy } = await openStage(t);
  feed.stage.status = 401;
  feed.stage.connections[0]?.res.destroy();
  await feed.connected(3);
  await proxy.until(({ level, reason }) => level === 50 && /register it/.test(String(reason)));
  assert.equal((await post(proxy.port)).status, 200);
  feed.stage.status = 200;
  await healthy(proxy, (health) => health.connected);
});

test('a restarted proxy resumes where its file ends', async (t) => {
  const { feed, mail, proxy } = await openStage(t);
  await proxy.stop();
  await openProxy(t, {
    stateDir: proxy.config.stateDir,
    backend: { url: mail.url },
    serverUrl: feed.url,
  });
  assert.equal((await feed.connected(2)).after, '10');
});

for (const [name, damage] of [
  ['cut short', (text: string) => text.slice(0, -30)],
  ['changed', (text: string) => text.replace('"BAD","alice@example.org",0', '"BAD","alice@example.org",1')],
  ['emptied', () => ''],
  ['garbage', () => '\0\xff\n{}'],
  ['continued by somebody else', (text: string) => `${text}${text}`],
  ['without its beginning', (text: string) => text.slice(text.indexOf('\n') + 1) || 'x\n'],
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
    assert.equal((await post(second.port)).headers.get('x-muster-reason'), 'unready');
  });
}

test('a line that a crash cut short is dropped, what is before it counts, and the file goes on after that', async (t) => {
  const { feed, mail, proxy } = await openStage(t);
  const settings = { backend: { url: mail.url }, serverUrl: feed.url, stateDir: proxy.config.stateDir };
  feed.send(verdictLine({ deviceId: 'dev_2', easDeviceId: 'TWO', position: '11' }));
  await healthy(proxy, positioned('11'));
  await proxy.stop();
  const whole = readFileSync(proxy.stateFile, 'utf8');
  const cut = whole.split('\n').at(-2)?.slice(0, 200);
  appendFileSync(proxy.stateFile, `${cut}`);
  const second = await openProxy(t, settings);
  assert.equal((await feed.connected(2)).after, '11');
  feed.send(verdictLine({ deviceId: 'dev_3', easDeviceId: 'THREE', position: '12' }));
  await healthy(second, positioned('12'));
  await second.stop();
  assert.ok(readFileSync(proxy.stateFile, 'utf8').startsWith(whole));
  feed.stage.status = 503;
  const third = await openProxy(t, settings);
  for (const id of ['ABC123', 'TWO', 'THREE'])
    assert.equal((await post(third.port, { target: syncTarget.replace('ABC123', id) })).status, 200, id);
});

test('a snapshot that never came to its end leaves the file as it was', async (t) => {
  const { feed, mail, proxy } = await openStage(t);
  await proxy.stop();
  const before = readFileSync(proxy.stateFile, 'utf8');
  const settings = { backend: { url: mail.url }, serverUrl: feed.url, stateDir: proxy.config.stateDir };
  const second = await openProxy(t, settings);
  const { send, res } = await feed.connected(2);
  send([{ kind: 'snapshot' }, verdictLine({ access: 'deny', position: '40' })], { snapshot: 'part' });
  while (!readdirSync(proxy.folder).some((name) => name.endsWith('.tmp'))) await nextTurn();
  feed.stage.status = 503;
  res.destroy();
  await feed.connected(3);
  await second.stop();
  const after = readFileSync(proxy.stateFile, 'utf8');
  assert.deepEqual([after.startsWith(before), after.includes('"part"')], [true, false]);
  assert.equal((await post((await openProxy(t, settings)).port)).status, 200);
});

test('what follows a snapshot that came to nothing is on the disk nevertheless', async (t) => {
  const { feed, mail, proxy } = await openStage(t);
  feed.stage.connections[0]?.send([{ kind: 'snapshot' }, verdictLine()], {
    snapshot: 'part',
    position: '40',
  });
  while (!readdirSync(proxy.folder).includes('verdicts.0.tmp')) await nextTurn();
  feed.stage.connections[0]?.res.destroy();
  await feed.connected(2);
  feed.send(verdictLine({ access: 'deny', position: '11' }));
  await healthy(proxy, positioned('11'));
  await proxy.stop();
  feed.stage.status = 503;
  const settings = { backend: { url: mail.url }, serverUrl: feed.url, stateDir: proxy.config.stateDir };
  assert.equal((await post((await openProxy(t, settings)).port)).headers.get('x-muster-reason'), 'verdict');
});

test('a disk that takes nothing is said, decisions go on, and everything is written as soon as it can be', async (t) => {
  let now = Date.UTC(2026, 10, 23);
  const clock = () => now;
  const mail = await openMailServer(t);
  const feed = await openFeed(t, undefined, clock);
  const settings = { backend: { url: mail.url }, serverUrl: feed.url, stateDir: folder(t) };
  // What stands where the first file would be written.
  mkdirSync(join(settings.stateDir, 'mail', 'verdicts.1.tmp'), { recursive: true });
  const proxy = await openProxy(t, settings, { clock });
  await proxy.until(({ level, msg }) => level === 50 && /could not be written/.test(msg));
  await healthy(proxy);
  assert.equal((await post(proxy.port)).status, 200);
  now += 60_000;
  feed.send({ kind: 'position', position: '10' });
  assert.equal((await feed.connected(2)).after, null);
  while (!existsSync(proxy.stateFile)) await nextTurn();
  await proxy.stop();
  feed.stage.status = 503;
  assert.equal((await post((await openProxy(t, settings, { clock })).port)).status, 200);
});

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
    staleRule: 'deny',
    verifiesServer: true,
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

test('a just-enrolled device is asked for once and served at once; an unknown id is not asked for again', async (t) => {
  const { feed, proxy } = await openStage(t, []);
  feed.stage.answers.set('ABC123', verdictLine());
  const answers = await Promise.all([post(proxy.port), post(proxy.port), post(proxy.port)]);
  assert.deepEqual(
    answers.map(({ status }) => status),
    [200, 200, 200],
  );
  assert.deepEqual(feed.stage.asked, ['ABC123']);
  const target = syncTarget.replace('ABC123', 'NOBODY');
  for (let n = 0; n < 3; n += 1) assert.equal((await post(proxy.port, { target })).status, 403);
  assert.deepEqual(feed.stage.asked, ['ABC123', 'NOBODY']);
});

test('nothing is sent on for a client that left while its device was asked for', async (t) => {
  const { mail, feed, proxy } = await openStage(t, []);
  feed.stage.answers.set('ABC123', verdictLine());
  let release = () => {};
  feed.stage.asking = new Promise<void>((resolve) => {
    release = resolve;
  });
  const asking = once(feed.events, 'asking');
  const leaving = new AbortController();
  const left = assert.rejects(post(proxy.port, { signal: leaving.signal }));
  await asking;
  leaving.abort();
  await left;
  // Answered after the proxy has seen that the other connection is gone.
  assert.equal((await post(proxy.port, { user: 'eve', method: 'GET' })).status, 403);
  release();
  const line = await proxy.until(({ msg, fault }) => msg === 'request' && fault !== undefined);
  assert.equal(line['fault'], 'the client left');
  assert.equal(proxy.instances[0]?.figures().heldRequests, 0);
  assert.deepEqual(mail.seen, []);
});

test('made-up ids are few questions, whoever sends them', async (t) => {
  const { feed, proxy } = await openStage(t, []);
  for (let n = 0; n < 20; n += 1)
    assert.equal(
      (await post(proxy.port, { target: syncTarget.replace('ABC123', `MADEUP${n}`) })).status,
      403,
    );
  assert.equal(feed.stage.asked.length, 6);
});

for (const [name, trust] of [
  ['another pin', { serverPin: 'a'.repeat(64) }],
  ['no trust in its authority', { serverCaFile: undefined }],
] as const) {
  test(`a server that is not the real one gets no contact: ${name}`, async (t) => {
    const feed = await openFeed(t);
    const proxy = await openProxy(t, {
      backend: { url: 'http://127.0.0.1:9' },
      serverUrl: feed.url,
      ...trust,
    });
    await proxy.until(({ reason }) => /pin|self-signed|issuer/.test(String(reason)));
    assert.equal(feed.stage.connections.length, 0);
    assert.equal(proxy.health().position, null);
  });
}

test('the pin of the authority is enough; taking any server is warned of and reported', async (t) => {
  const feed = await openFeed(t);
  const pin = publicKeySha256(new X509Certificate((await feedCertificates()).ca));
  const pinned = await openProxy(t, {
    backend: { url: 'http://127.0.0.1:9' },
    serverUrl: feed.url,
    serverPin: pin,
  });
  await healthy(pinned);
  const any = await openProxy(t, {
    backend: { url: 'http://127.0.0.1:9' },
    serverUrl: feed.url,
    allowAnyServerCertificate: true,
  });
  await healthy(any);
  await any.until(({ level, msg }) => level === 40 && /server is not verified/.test(msg));
  assert.deepEqual(
    feed.stage.connections.map(({ trust }) => trust),
    ['verified', 'any'],
  );
});
