/** Several instances in one process: each with its own mail server, verdicts and end. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeIdentity } from '../../proxy/identity.ts';
import { instanceDir } from '../../proxy/instance.ts';
import {
  folder,
  healthy,
  openFeed,
  openMailServer,
  openProxyOf,
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

test('each instance has its own tenant: verdicts, mail server and credential of one are nothing to the other', async (t) => {
  const [red, blue, feed] = [await openMailServer(t), await openMailServer(t), await openFeed(t)];
  const stateDir = folder(t);
  const ofRed = makeIdentity(instanceDir({ stateDir }, 'red'), 'red', new Date()).sha256;
  feed.stage.linesFor = (certificate) => [
    { kind: 'snapshot' },
    verdictLine({ easDeviceId: certificate === ofRed ? 'RED1' : 'BLUE1' }),
    { kind: 'position', position: '10' },
  ];
  const proxy = await openProxyOf(t, {
    serverUrl: feed.url,
    stateDir,
    instances: [instanceOf('red', red.url), instanceOf('blue', blue.url)],
  });
  for (const instance of proxy.instances) await healthy(instance);
  const statuses = [];
  for (const { port } of proxy.instances)
    for (const id of ['RED1', 'BLUE1'])
      statuses.push((await post(port, { target: syncTarget.replace('ABC123', id) })).status);
  assert.deepEqual(statuses, [200, 403, 403, 200]);
  assert.deepEqual([red.seen.length, blue.seen.length], [1, 1]);
  const names = proxy.lines.filter(({ msg }) => msg === 'request').map((line) => line['instance']);
  assert.deepEqual(names, ['red', 'red', 'blue', 'blue']);
});
