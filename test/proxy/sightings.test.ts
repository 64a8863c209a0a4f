/** Unknown devices as the proxy tells the server of them: only those whose password the mail server takes, and few. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { openSightings } from '../../proxy/sightings.ts';
import {
  basic,
  healthy,
  openFeed,
  openMailServer,
  openProxy,
  post,
  recordingLog,
  syncTarget,
} from './stage.ts';

const unknown = (id: string) => syncTarget.replace('ABC123', id);

test('a device that nobody knows is refused at once and told of, once the mail server has taken its password', async (t) => {
  const mail = await openMailServer(t);
  const feed = await openFeed(t);
  feed.stage.learns = true;
  const asked: { method: string; url: string; headers: Record<string, unknown> }[] = [];
  mail.stage.answer = (req, res) => {
    asked.push({ method: req.method ?? '', url: req.url ?? '', headers: req.headers });
    res.writeHead(req.headers.authorization === basic('alice') ? 200 : 401).end();
  };
  const proxy = await openProxy(
    t,
    { backend: { url: mail.url }, serverUrl: feed.url },
    { reportTiming: { everyMs: 20, soonMs: 1 } },
  );
  await healthy(proxy);
  const headers = { 'user-agent': 'Android-Mail/2026\u00e9', cookie: 'secret=1', 'x-ms-policykey': '7' };
  for (let round = 0; round < 2; round += 1) {
    const answer = await post(proxy.port, { target: unknown('new1'), headers });
    assert.deepEqual([answer.status, answer.headers.get('x-muster-reason')], [403, 'device']);
  }
  const wrong = await post(proxy.port, { target: unknown('NEW2'), user: 'mallory' });
  assert.equal(wrong.status, 403);
  const report = await feed.reported(({ sightings }) => sightings.length > 0);
  const [{ at, address, ...seen }] = report.sightings;
  assert.deepEqual(seen, {
    easDeviceId: 'NEW1',
    deviceType: 'iPhone',
    user: 'alice',
    userAgent: 'Android-Mail/2026é',
  });
  assert.ok(Date.parse(at) > 0);
  assert.equal(address, '127.0.0.1');
  // Both passwords, and once none: whether the mail server takes anybody.
  while (asked.length < 3) await once(mail.events, 'request');
  // Of the client's requests nothing but the credential went on.
  assert.deepEqual(
    asked.map(({ method, url }) => [method, url]),
    Array(3).fill(['OPTIONS', '/Microsoft-Server-ActiveSync']),
  );
  for (const one of asked)
    assert.deepEqual(
      Object.keys(one.headers).filter((name) => !['authorization', 'connection', 'host'].includes(name)),
      [],
    );
  await proxy.stop();
  const told = feed.stage.reports.flatMap(({ sightings }) => sightings);
  assert.equal(told.length, 1);
  assert.ok(!JSON.stringify(feed.stage.reports).includes(basic('alice').slice(6)), 'no credential is told');
});

const openOpen = (status: (user: string) => number, clock = { now: 0 }) => {
  const tried: string[] = [];
  const known = { learns: true };
  const site = { open: 401 };
  const sightings = openSightings({
    known,
    clock: () => clock.now,
    log: recordingLog().log,
    onSighting: () => {},
    mailServer: {
      request: (async ({ headers }: { headers: { authorization?: string } }) => {
        if (headers.authorization === undefined)
          return { statusCode: site.open, body: { dump: async () => {} } };
        tried.push(headers.authorization);
        return { statusCode: status(headers.authorization), body: { dump: async () => {} } };
      }) as never,
    },
  });
  const see = (user: string, easDeviceId: string, address = '192.0.2.1') =>
    sightings.sight({
      easDeviceId,
      user,
      deviceType: null,
      userAgent: null,
      address,
      authorization: `of ${user}`,
    });
  return { sightings, see, tried, known, clock, site };
};

test('nobody makes the proxy guess: a user is tried three times in half an hour, whatever device is claimed', async () => {
  const { see, tried, clock, sightings } = openOpen(() => 401);
  for (let index = 0; index < 50; index += 1) {
    see('alice', `ID${index}`, `192.0.2.${index}`);
    await new Promise(setImmediate);
  }
  assert.equal(tried.length, 3);
  see('alice', 'ID0');
  clock.now += 30 * 60_000;
  see('alice', 'ID0');
  await new Promise(setImmediate);
  assert.equal(tried.length, 4);
  assert.deepEqual(sightings.take(), []);
});

test('an address, and all together, have bounds; ids that could never be bound are not looked at', async () => {
  const { see, tried } = openOpen(() => 200);
  for (let index = 0; index < 60; index += 1) {
    see(`user${index}`, `ID${index}`);
    await new Promise(setImmediate);
  }
  assert.equal(tried.length, 20);
  see('other', 'no/id', '192.0.2.9');
  see('other', 'I'.repeat(65), '192.0.2.9');
  await new Promise(setImmediate);
  assert.equal(tried.length, 20);
});

test('a report takes fifty at most, and a tenant that learns nothing asks nothing', async () => {
  const { see, sightings, known, tried } = openOpen(() => 200);
  for (let index = 0; index < 80; index += 1) {
    see(`user${index}`, 'SHARED', `192.0.2.${index}`);
    await new Promise(setImmediate);
  }
  assert.equal(sightings.take().length, 50);
  assert.equal(sightings.take().length, 0);
  known.learns = false;
  see('late', 'NEW', '192.0.2.200');
  await new Promise(setImmediate);
  assert.equal(tried.length, 80);
});

/** Lets what was begun come to its end: every step of it is a promise that is settled already. */
const settled = async (): Promise<void> => {
  for (let turn = 0; turn < 3; turn += 1) await new Promise(setImmediate);
};

test('a name is one account however it is spelt, and shows ten devices a day', async () => {
  const guessed = openOpen(() => 401);
  for (const name of ['alice', 'corp\\alice', 'alice@example.org', 'other\\alice'])
    guessed.see(name, `OF${name.length}`);
  await settled();
  assert.equal(guessed.tried.length, 3);
  const { see, sightings, clock } = openOpen(() => 200);
  let told = 0;
  for (let index = 0; index < 20; index += 1) {
    see('alice', `ID${index}`);
    await settled();
    told += sightings.take().length;
    clock.now += 11 * 60_000;
  }
  assert.equal(told, 10);
});

test('a mail server that asks nobody for a password proves nothing', async () => {
  const { see, sightings, site, clock } = openOpen(() => 200);
  site.open = 200;
  see('alice', 'ID1');
  await settled();
  assert.deepEqual(sightings.take(), []);
  site.open = 401;
  clock.now += 60 * 60_000;
  see('alice', 'ID1');
  await settled();
  assert.equal(sightings.take().length, 1);
});
