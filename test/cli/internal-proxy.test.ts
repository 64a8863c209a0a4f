/** The EAS proxy inside `muster serve`: what it needs, what it says of its size, and that it reloads and reports. */
import assert from 'node:assert/strict';
import { chmodSync, readdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { startInternalProxy } from '../../cli/internal-proxy.ts';
import { MusterError } from '../../platform/errors.ts';
import { makeIdentity } from '../../proxy/identity.ts';
import { instanceDir } from '../../proxy/instance.ts';
import {
  feedCertificates,
  folder,
  openFeed,
  openMailServer,
  post,
  recordingLog,
  settingsOf,
  syncTarget,
  verdictLine,
} from '../proxy/stage.ts';

/** Verdicts of `count` devices, the first of them that of the ordinary phone. */
const fleet = (count: number) =>
  Array.from({ length: count }, (_, at) =>
    at === 0 ? verdictLine() : verdictLine({ deviceId: `dev_${at + 1}`, easDeviceId: `PHONE${at + 1}` }),
  );

const openSite = async (t: TestContext, devices = 1, more: object = {}) => {
  const [mail, feed, dir] = [await openMailServer(t), await openFeed(t, fleet(devices)), folder(t)];
  const [file, serverCaFile, stateDir] = [join(dir, 'proxy.json'), join(dir, 'ca.crt'), join(dir, 'state')];
  writeFileSync(serverCaFile, (await feedCertificates()).ca);
  const settings = settingsOf({ stateDir, serverUrl: feed.url, serverCaFile, backend: { url: mail.url } });
  writeFileSync(file, JSON.stringify({ ...settings, ...more }), { mode: 0o600 });
  makeIdentity(instanceDir({ stateDir }, 'mail'), 'mail', new Date());
  const recorded = recordingLog();
  const start = async () => {
    const running = await startInternalProxy(file, true, recorded.log);
    const port = running.instances[0]?.port as number;
    let stopped: Promise<void> | undefined;
    const stop = () => {
      stopped ??= running.stop();
      return stopped;
    };
    t.after(stop);
    const ask = async (target = syncTarget) => {
      const response = await post(port, { target });
      await response.arrayBuffer();
      return [response.status, response.headers.get('x-muster-reason')];
    };
    /** Once the verdicts are there. */
    const served = async () => {
      while ((await ask())[0] !== 200) await nextTurn();
    };
    return { ...running, ask, served, stop };
  };
  const warnings = () => recorded.lines.filter(({ level }) => level === 40).map(({ msg }) => msg);
  return { dir, file, feed, mail, recorded, start, warnings };
};

test('it needs the server’s listener for proxies, and says which setting that is', async (t) => {
  const { file, recorded } = await openSite(t);
  await assert.rejects(
    startInternalProxy(file, false, recorded.log),
    (error: unknown) =>
      error instanceof MusterError &&
      error.code === 'config-invalid' &&
      error.field === 'MUSTER_PROXY_FEED_PORT',
  );
});

test('it decides as any proxy, reports that it is inside, and stops with all it has open', async (t) => {
  const { feed, mail, start, warnings } = await openSite(t);
  const proxy = await start();
  await proxy.served();
  assert.deepEqual(await proxy.ask(syncTarget.replace('ABC123', 'UNKNOWN1')), [403, 'device']);
  assert.equal(mail.seen.length, 1);
  assert.equal((await feed.reported(() => true)).state.internal, true);
  await proxy.stop();
  await assert.rejects(proxy.ask());
  assert.deepEqual(warnings(), []);
});

test('more devices than it is meant for are warned of at the start, and once when they become so many', async (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] });
  const { feed, recorded, start, warnings } = await openSite(t, 500);
  const first = await start();
  await first.served();
  const look = () => t.mock.timers.tick(10 * 60_000);
  look();
  assert.deepEqual(warnings(), []);
  feed.send(verdictLine({ deviceId: 'dev_new', easDeviceId: 'PHONENEW', position: '11' }), {
    kind: 'position',
    position: '11',
  });
  const added = syncTarget.replace('ABC123', 'PHONENEW');
  while ((await first.ask(added))[0] !== 200) await nextTurn();
  look();
  look();
  const advice = /^501 devices are behind a proxy inside the server, which is meant for up to 500/;
  assert.deepEqual(
    warnings().map((text) => advice.test(text)),
    [true],
  );
  await first.stop();
  const from = recorded.lines.length;
  // From the verdicts on disk, before the server is heard.
  await start();
  const said = recorded.lines.slice(from);
  assert.ok(said.some(({ level, msg }) => level === 40 && advice.test(msg)));
  assert.ok(said.some((line) => line['devices'] === 501 && line['mostDevices'] === 500));
});

test('settings that others may change are warned of, and a reload opens the access log anew', async (t) => {
  const logs = folder(t);
  const { file, start, warnings } = await openSite(t, 1, { log: { file: join(logs, 'access.log') } });
  if (process.platform !== 'win32') chmodSync(file, 0o666);
  const proxy = await start();
  if (process.platform !== 'win32') assert.match(warnings().join(), /others may change .*proxy\.json/);
  await proxy.served();
  const [name = ''] = readdirSync(logs);
  renameSync(join(logs, name), join(logs, 'away'));
  await proxy.reload();
  assert.deepEqual(readdirSync(logs).sort(), [name, 'away'].sort());
});
