/** Several instances in one process: each with its own mail server, verdicts and end. */
import assert from 'node:assert/strict';
import { chownSync, lstatSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { makeIdentity, readIdentity } from '../../proxy/identity.ts';
import { instanceDir, type RunningInstance } from '../../proxy/instance.ts';
import type { ProxyDeps } from '../../proxy/main.ts';
import {
  folder,
  healthy,
  openFeed,
  openMailServer,
  openProxyOf,
  openStage,
  post,
  syncTarget,
  verdictLine,
} from './stage.ts';

const instanceOf = (name: string, url: string) => ({
  name,
  listenPort: 0,
  publicUrl: `https://${name}.example.org`,
  backend: { url },
});

/** Two instances, red and blue, each with one device of its own. */
const openTwo = async (t: TestContext, settings: object = {}, deps: Partial<ProxyDeps> = {}) => {
  const [red, blue, feed] = [await openMailServer(t), await openMailServer(t), await openFeed(t)];
  const stateDir = folder(t);
  const ofRed = makeIdentity(instanceDir({ stateDir }, 'red'), 'red', new Date()).sha256;
  feed.stage.linesFor = (certificate) => [
    { kind: 'snapshot' },
    verdictLine({ easDeviceId: certificate === ofRed ? 'RED1' : 'BLUE1' }),
    { kind: 'position', position: '10' },
  ];
  const instances = [instanceOf('red', red.url), instanceOf('blue', blue.url)];
  const proxy = await openProxyOf(t, { serverUrl: feed.url, stateDir, instances, ...settings }, deps);
  for (const instance of proxy.instances) await healthy(instance);
  const ofBlue = readIdentity(instanceDir({ stateDir }, 'blue')).sha256;
  return { red, blue, feed, proxy, ofBlue };
};

test('each instance has its own tenant: verdicts, mail server and credential of one are nothing to the other', async (t) => {
  const { red, blue, proxy } = await openTwo(t);
  const statuses = [];
  for (const { port } of proxy.instances)
    for (const id of ['RED1', 'BLUE1'])
      statuses.push((await post(port, { target: syncTarget.replace('ABC123', id) })).status);
  assert.deepEqual(statuses, [200, 403, 403, 200]);
  assert.deepEqual([red.seen.length, blue.seen.length], [1, 1]);
  const names = proxy.lines.filter(({ msg }) => msg === 'request').map((line) => line['instance']);
  assert.deepEqual(names, ['red', 'red', 'blue', 'blue']);
});

test('log, metrics, readiness and explanations name the instance, and each reports to its own tenant', async (t) => {
  const dir = folder(t);
  const adminPort = 20_000 + Math.floor(Math.random() * 10_000);
  const { feed, proxy, ofBlue } = await openTwo(
    t,
    { adminPort, log: { file: join(dir, 'access.log') } },
    { reportTiming: { everyMs: 1_000_000, soonMs: 1 } },
  );
  const [red, blue] = proxy.instances as [RunningInstance, RunningInstance];
  const target = syncTarget.replace('ABC123', 'RED1');
  await (await post(red.port, { target })).arrayBuffer();
  await (await post(blue.port, { target })).arrayBuffer();
  const { certificate, denials } = await feed.reported((report) => report.denials.length > 0);
  assert.deepEqual([certificate, denials[0].easDeviceId, denials[0].rule], [ofBlue, 'RED1', 'device']);
  const ask = async (path: string) => {
    const response = await fetch(`http://127.0.0.1:${adminPort}${path}`);
    return { status: response.status, text: await response.text() };
  };
  const { text } = await ask('/metrics');
  assert.match(text, /^muster_proxy_requests_total\{instance="red",decision="allow",rule="verdict"\} 1$/m);
  assert.match(text, /^muster_proxy_requests_total\{instance="blue",decision="deny",rule="device"\} 1$/m);
  const ready = (instance: string) => ({ instance, ready: true, reasons: [] });
  assert.deepEqual(JSON.parse((await ask('/readyz')).text), {
    ready: true,
    instances: [ready('red'), ready('blue')],
  });
  assert.deepEqual(JSON.parse((await ask('/readyz/blue')).text), ready('blue'));
  assert.equal((await ask('/readyz/green')).status, 404);
  const explained = (instance: string) => ask(`/explain?deviceId=RED1&user=alice${instance}`);
  assert.equal(JSON.parse((await explained('&instance=red')).text).rule, 'verdict');
  assert.equal(JSON.parse((await explained('&instance=blue')).text).rule, 'device');
  const unnamed = await explained('');
  assert.deepEqual([unnamed.status, /red, blue/.test(unnamed.text)], [404, true]);
  await proxy.stop();
  const written = readdirSync(dir).flatMap((name) =>
    readFileSync(join(dir, name), 'utf8').trim().split('\n'),
  );
  const seen = written.map((line) => JSON.parse(line)).map(({ instance, rule }) => [instance, rule]);
  assert.deepEqual(seen, [
    ['red', 'verdict'],
    ['blue', 'device'],
  ]);
  const withDenials = feed.stage.reports.filter((report) => report.denials.length > 0);
  assert.ok(withDenials.every((report) => report.certificate === ofBlue));
});

test('what a proxy writes that root runs belongs to the owner of stateDir, past links that were left there', {
  skip: process.getuid?.() === 0 ? false : 'needs root to give files to somebody else',
}, async (t) => {
  const [stateDir, secret] = [folder(t), join(folder(t), 'secret')];
  const mail = instanceDir({ stateDir }, 'mail');
  chownSync(stateDir, 65_534, 65_534);
  makeIdentity(mail, 'mail', new Date());
  writeFileSync(secret, 'root’s');
  for (const name of ['verdicts.0.tmp', 'verdicts.1.tmp', 'server.key.pub.new'])
    symlinkSync(secret, join(mail, name));
  const { proxy } = await openStage(t, undefined, { stateDir });
  await proxy.stop();
  assert.deepEqual([readFileSync(secret, 'utf8'), lstatSync(secret).uid], ['root’s', 0]);
  for (const name of ['', 'identity.crt', 'identity.key', 'server.key.pub', 'verdicts'])
    assert.equal(lstatSync(join(mail, name)).uid, 65_534, name);
});
