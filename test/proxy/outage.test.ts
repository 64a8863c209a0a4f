/**
 * The control plane stopped: an hour of right decisions by the proxy alone, across its own restart, and what follows once
 * the verdicts are older than they may be. Time is the test's own.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import {
  folder,
  healthy,
  openFeed,
  openMailServer,
  openProxy,
  post,
  syncTarget,
  verdictLine,
} from './stage.ts';

const minuteMs = 60_000;
const begin = Date.UTC(2026, 10, 23);

/** Who asks, and the rule that decides while verdicts are good. */
const phones = [
  { easId: 'ABC123', user: 'alice', rule: 'verdict', status: 200 },
  { easId: 'BAD', user: 'alice', rule: 'verdict', status: 403 },
  { easId: 'ABC123', user: 'mallory', rule: 'user', status: 403 },
  { easId: 'NOBODY', user: 'alice', rule: 'device', status: 403 },
] as const;

type Rule = 'deny' | 'allow-known';
type Proxy = Awaited<ReturnType<typeof openProxy>>;

/** A mail server, a control plane whose tenant wants `staleRule`, and a way to start proxies that know both. */
const openSite = async (t: TestContext, staleRule: Rule) => {
  const time = { now: begin };
  const clock = () => time.now;
  const mail = await openMailServer(t);
  const bad = verdictLine({ deviceId: 'dev_2', easDeviceId: 'BAD', access: 'deny', reason: 'rooted' });
  const feed = await openFeed(t, [verdictLine(), bad], clock);
  feed.stage.staleRule = staleRule;
  const settings = {
    backend: { url: mail.url },
    serverUrl: feed.url,
    stateDir: folder(t),
    maxAgeSeconds: 3_600,
    // Below the range from which the system hands out ports, so that no parallel test is given it.
    adminPort: 20_000 + Math.floor(Math.random() * 10_000),
  };
  const startProxy = () => openProxy(t, settings, { clock, recheckMs: 5 });
  const stopServer = async (proxy: Proxy): Promise<void> => {
    const closed = once(feed.server, 'close');
    feed.server.close();
    feed.server.closeAllConnections();
    await closed;
    await healthy(proxy, ({ connected }) => !connected);
  };
  const startServer = async (proxy: Proxy): Promise<void> => {
    feed.server.listen(feed.port, '127.0.0.1');
    await healthy(proxy, ({ connected, stale }) => connected && !stale);
  };
  const admin = async (path: string): Promise<{ status: number; text: string }> => {
    const response = await fetch(`http://127.0.0.1:${settings.adminPort}${path}`);
    return { status: response.status, text: await response.text() };
  };
  return { time, mail, startProxy, stopServer, startServer, admin };
};

const ask = (port: number, easId: string, user: string, command = 'Sync') =>
  post(port, {
    user,
    target: syncTarget.replace('ABC123', easId).replace('Cmd=Sync', `Cmd=${command}`),
  });

/** What each phone is answered: the status, and the rule of a refusal. */
const answers = async (port: number): Promise<unknown[]> => {
  const found = [];
  for (const { easId, user } of phones) {
    const response = await ask(port, easId, user);
    await response.arrayBuffer();
    found.push([response.status, response.headers.get('x-muster-reason')]);
  }
  return found;
};
const right = phones.map(({ status, rule }) => [status, status === 200 ? null : rule]);

const gauges = (text: string): unknown[] =>
  ['stale', 'denies_all', 'feed_connected'].map((name) =>
    Number(new RegExp(`^muster_proxy_${name}\\{instance="mail"\\} (\\S+)$`, 'm').exec(text)?.[1]),
  );

test('an hour without the control plane: every decision is right, across a restart; then nobody is allowed, and it says so', async (t) => {
  const { time, mail, startProxy, stopServer, startServer, admin } = await openSite(t, 'deny');
  const first = await startProxy();
  await healthy(first);
  await stopServer(first);
  for (let minute = 0; minute < 30; minute += 5, time.now += 5 * minuteMs)
    assert.deepEqual(await answers(first.port), right, `minute ${minute}`);
  await first.stop();
  const second = await startProxy();
  assert.equal(second.health().lastContactAt, new Date(begin).toISOString());
  for (let minute = 30; minute < 60; minute += 5, time.now += 5 * minuteMs)
    assert.deepEqual(await answers(second.port), right, `minute ${minute}`);
  assert.deepEqual(await answers(second.port), right, 'minute 60');
  assert.deepEqual(gauges((await admin('/metrics')).text), [0, 0, 0]);

  mail.stage.answer = () => {};
  const arrived = once(mail.events, 'request');
  const held = ask(second.port, 'ABC123', 'alice', 'Ping');
  await arrived;
  time.now += 1;
  const cut = await held;
  assert.deepEqual([cut.status, cut.headers.get('x-muster-reason')], [403, 'stale']);
  mail.stage.answer = undefined;
  assert.deepEqual(
    await answers(second.port),
    phones.map(() => [403, 'stale']),
  );

  const said = await second.until(({ msg }) => /not been heard/.test(msg));
  assert.deepEqual([said['level'], said['staleRule']], [50, 'deny']);
  assert.match(said.msg, /nobody is allowed/);
  const health = await admin('/healthz/mail');
  const { stale, staleRule, lastContactAt } = JSON.parse(health.text);
  assert.deepEqual(
    [health.status, stale, staleRule, lastContactAt],
    [503, true, 'deny', new Date(begin).toISOString()],
  );
  assert.deepEqual(gauges((await admin('/metrics')).text), [1, 1, 0]);
  assert.equal((await admin('/readyz')).status, 503);

  await startServer(second);
  assert.deepEqual(await answers(second.port), right);
  await second.until(({ msg }) => /confirms the verdicts again/.test(msg));
  assert.deepEqual(gauges((await admin('/metrics')).text), [0, 0, 1]);
});

test('a tenant that wants it so: known devices go on as they were, across a restart, and nobody else', async (t) => {
  const { time, startProxy, stopServer, admin } = await openSite(t, 'allow-known');
  const first = await startProxy();
  await healthy(first);
  await stopServer(first);
  await first.stop();
  time.now += 25 * 60 * minuteMs;
  const second = await startProxy();
  assert.deepEqual(await answers(second.port), right);
  const said = await second.until(({ msg }) => /not been heard/.test(msg));
  assert.deepEqual([said['level'], said['staleRule']], [50, 'allow-known']);
  assert.match(said.msg, /as they were last known/);
  assert.equal((await admin('/healthz')).status, 503);
  assert.deepEqual(gauges((await admin('/metrics')).text), [1, 0, 0]);
  // A balancer that took it away would decide otherwise than the tenant.
  assert.equal((await admin('/readyz')).status, 200);
});

test('a proxy that never heard the control plane allows nobody, however long it waits', async (t) => {
  const { time, startProxy, stopServer } = await openSite(t, 'allow-known');
  const first = await startProxy();
  await healthy(first);
  await stopServer(first);
  await first.stop();
  rmSync(first.stateFile);
  const second = await startProxy();
  for (let hour = 0; hour < 3; hour += 1, time.now += 60 * minuteMs)
    assert.deepEqual(
      await answers(second.port),
      phones.map(() => [503, 'unready']),
    );
});
