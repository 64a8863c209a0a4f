/**
 * A device passes muster, end to end, as its users meet it: `muster serve` and `muster proxy` as processes on embedded
 * defaults, GraphQL, the device protocol, FCM, ActiveSync. Two tenants live side by side throughout.
 */
import assert from 'node:assert/strict';
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import {
  type Admin,
  allDevices,
  createEnrolment,
  createTenant,
  mutate,
  registerProxy,
  signInFirst,
} from '../cli/admin.ts';
import { type Client, openClient } from '../cli/client.ts';
import { askForMail } from '../cli/demo/mail-client.ts';
import { startMailServer } from '../cli/demo/mail-server.ts';
import { findRunning } from '../cli/running.ts';
import { type Appearance, enrolDevice } from '../cli/simulated-device.ts';
import { newSecret } from '../platform/new-id.ts';
import { openSql } from '../platform/sql.ts';
import { startFcm } from './support/fcm.ts';
import { type Command, type MusterServer, startCommand, startMuster } from './support/muster.ts';
import { quietPort } from './support/port.ts';

const dataDir = mkdtempSync(join(tmpdir(), 'muster-end-'));
const operatorPassword = newSecret();
const easDeviceId = 'SEC1A2B3C4D5E6F70';
const looks: Appearance = {
  platform: 'android',
  name: 'A phone',
  inventory: { osVersion: '14', easDeviceId, rooted: false, screenLock: true, encrypted: true },
  apps: [{ id: 'com.example.mail', name: 'Mail', version: '1.0' }],
};

let fcm: Awaited<ReturnType<typeof startFcm>>;
let server: MusterServer;
let client: Client;
let contoso: Admin;
let fabrikam: Admin;

const settings = async (more: Record<string, string> = {}) => ({
  MUSTER_PORT: String(await quietPort()),
  MUSTER_PROXY_FEED_PORT: '0',
  MUSTER_FCM_ENDPOINT: fcm.endpoint,
  MUSTER_FCM_SERVICE_ACCOUNT: fcm.serviceAccountFile,
  ...more,
});

const restart = async (more?: Record<string, string>, options: readonly string[] = []): Promise<void> => {
  await client?.close();
  server = await startMuster(dataDir, await settings(more), options);
  client = openClient(server.url);
};

/** Repeats `look` until it answers something; read models and feeds follow the log within moments, but follow it. */
const eventually = async <T>(look: () => Promise<T | undefined>): Promise<T> => {
  for (;;) {
    const seen = await look();
    if (seen !== undefined) return seen;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
};

const onlyDevice = async (admin: Admin) => {
  for await (const device of allDevices(admin)) return device;
  return undefined;
};

before(async () => {
  fcm = await startFcm();
  await restart();
  const password = server.password as string;
  const operator = await signInFirst(
    client,
    { tenantSlug: 'operator', email: 'operator@muster.local', password },
    operatorPassword,
  );
  const tenantOf = (slug: string) => ({
    name: slug,
    slug,
    email: `admin@${slug}.example`,
    password: `${slug}-and-then-some`,
    seats: slug === 'contoso' ? 4 : 1,
  });
  await mutate(operator, 'registerTrial', { email: 'trial@example.org' }, 'LicencePayload { pending }');
  contoso = (await createTenant(operator, tenantOf('contoso'))).admin;
  fabrikam = (await createTenant(operator, tenantOf('fabrikam'))).admin;
});

after(async () => {
  await client.close();
  await server.stop();
  await fcm.stop();
  rmSync(dataDir, { recursive: true, force: true });
});

test('a device enrols, complies, is woken, works, falls, is refused, and is seen by its own tenant alone', async () => {
  const mail = await startMailServer();
  let proxy: Command | undefined;
  try {
    const code = await createEnrolment(contoso, { userEmail: 'carla@contoso.example', platform: 'ANDROID' });
    const device = await enrolDevice(client, code, looks);
    await assert.rejects(enrolDevice(client, code, looks), /enrolment-used/);
    const first = await device.checkIn({ batteryPercent: 50 });
    assert.equal(first.compliance.status, 'compliant');
    assert.deepEqual(first.tasks, []);

    const { proxyFeed } = await client.graphql<{ proxyFeed: { url: string; pin: string } }>(
      '{ proxyFeed { url pin } }',
      {},
      contoso.token,
    );
    const instance = {
      name: 'gate',
      listenPort: 0,
      publicUrl: 'https://mail.contoso.example',
      backend: { url: mail.url },
    };
    const configFile = join(dataDir, 'proxy.json');
    const config = {
      serverUrl: proxyFeed.url,
      serverPin: proxyFeed.pin,
      stateDir: join(dataDir, 'proxy'),
      instances: [instance],
    };
    writeFileSync(configFile, JSON.stringify(config), { mode: 0o600 });
    const exported = startCommand(['proxy', 'export', '--config', configFile]);
    assert.equal(await exported.ended, 0, exported.errors());
    await registerProxy(contoso, 'Gate', exported.output());
    const [, sha256] = /^Instance "gate": SHA-256 ([0-9a-f]{64})$/m.exec(exported.errors()) ?? [];
    const registered = await client.graphql<{ proxies: { nodes: object[] } }>(
      '{ proxies { nodes { name certificateSha256 status } } }',
      {},
      contoso.token,
    );
    assert.deepEqual(registered.proxies.nodes, [
      { name: 'Gate', certificateSha256: sha256, status: 'ACTIVE' },
    ]);
    proxy = startCommand(['proxy', '--config', configFile]);
    const proxyUrl = (await proxy.line(/listens on (\S+)/))[1] as string;
    const ask = (user: string, id: string) => askForMail(proxyUrl, user, id);
    await eventually(async () =>
      (await ask('carla@contoso.example', easDeviceId)).status === 200 ? true : undefined,
    );
    assert.equal(mail.reached.length > 0, true);
    assert.equal((await ask('carla@contoso.example', 'UNKNOWN1')).status, 403);
    assert.equal((await ask('mallory@contoso.example', easDeviceId)).status, 403);

    await device.checkIn({}, { push: { provider: 'fcm', token: 'a-registration-token' } });
    const queued = await mutate<{ device: { openTaskCount: number } }>(
      contoso,
      'queueTask',
      { deviceId: device.deviceId, task: { type: 'LOCK', parameters: { message: 'Call the help desk' } } },
      'DevicePayload { device { openTaskCount } }',
    );
    assert.equal(queued.device.openTaskCount, 1);
    await fcm.untilTaken(1);
    assert.deepEqual(
      fcm.taken.map(({ token, data }) => [token, data?.['type']]),
      [['a-registration-token', 'wake']],
    );
    const second = await device.checkIn();
    assert.deepEqual(
      second.tasks.map(({ type, parameters }) => ({ type, parameters })),
      [{ type: 'lock', parameters: { message: 'Call the help desk' } }],
    );
    assert.deepEqual((await device.checkIn()).tasks, []);

    const reached = mail.reached.length;
    const fallen = await device.checkIn({ screenLock: false });
    assert.equal(fallen.compliance.status, 'non-compliant');
    await eventually(async () =>
      (await ask('carla@contoso.example', easDeviceId)).status === 403 ? true : undefined,
    );
    const seen = await eventually(async () => {
      const shown = await onlyDevice(contoso);
      return shown?.mailVerdict === 'DENY' ? shown : undefined;
    });
    assert.match(seen.mailReason, /No screen lock is set/);
    assert.equal((await ask('carla@contoso.example', easDeviceId)).rule, 'verdict');
    assert.ok(mail.reached.length >= reached);

    assert.equal(await onlyDevice(fabrikam), undefined);
    const other = await fabrikam.client.graphql<{ node: unknown }>(
      'query ($id: ID!) { node(id: $id) { id } }',
      { id: device.deviceId },
      fabrikam.token,
    );
    assert.equal(other.node, null);
    const input = { deviceId: device.deviceId, access: 'DENY' };
    await assert.rejects(
      mutate(fabrikam, 'setMailAccess', input, 'DevicePayload { pending }'),
      /device-missing/,
    );
  } finally {
    await proxy?.stop();
    await mail.stop();
  }
});

const accessLogs = join(dataDir, 'access-logs');

/** The proxy of the test before, with its registration, as part of the server. */
const internalProxy = async (): Promise<[Record<string, string>, string[]]> => {
  const feedPort = String(await quietPort());
  const file = join(dataDir, 'internal.json');
  const config = JSON.parse(readFileSync(join(dataDir, 'proxy.json'), 'utf8')) as object;
  const own = { serverUrl: `https://127.0.0.1:${feedPort}`, log: { file: join(accessLogs, 'access') } };
  writeFileSync(file, JSON.stringify({ ...config, ...own }), { mode: 0o600 });
  return [{ MUSTER_PROXY_FEED_PORT: feedPort }, ['--proxy-config', file]];
};

const answers = async (admin: Admin): Promise<unknown> =>
  admin.client.graphql(
    `{ devices(first: 20) { nodes { id name status complianceStatus mailVerdict mailReason openTaskCount violations { rule why since }
       inventory { osVersion batteryPercent easDeviceId } apps(first: 5) { nodes { appId version } } tasks(first: 5) { nodes { id type state } } } }
       policies(first: 100) { nodes { id name version } } compliancePolicies(first: 100) { nodes { id name version } }
       enrolments(first: 100) { nodes { id status } } proxies(first: 100) { nodes { id name status } } accounts(first: 100) { nodes { id email status } }
       alerts(first: 100) { nodes { id rule openedAt closedAt } } deviceCounts { total compliant nonCompliant mailDenied }
       audit(first: 100) { nodes { position type at } } }`,
    {},
    admin.token,
  );

test('without its read models, a start gives the same GraphQL answers from the log alone', async () => {
  const told = [await answers(contoso), await answers(fabrikam)];
  const running = findRunning(dataDir);
  assert.ok(running?.databaseUrl);
  const sql = openSql(running.databaseUrl, { max: 1 });
  await sql`drop schema read cascade`;
  await sql.end();
  await server.stop();
  await restart(...(await internalProxy()));
  const again = (admin: Admin): Admin => ({ ...admin, client });
  const ready = async () => ((await fetch(`${server.url}/readyz`)).status === 200 ? true : undefined);
  await eventually(ready);
  assert.deepEqual([await answers(again(contoso)), await answers(again(fabrikam))], told);
  contoso = again(contoso);
  fabrikam = again(fabrikam);
});

test('the proxy inside the server is the proxy: the same registration, rules and reports', async () => {
  const [, port] = await server.line(/^EAS proxy "gate" inside it listens on port (\d+)/);
  const ask = (id: string) => askForMail(`http://127.0.0.1:${port}`, 'carla@contoso.example', id);
  await eventually(async () => ((await ask(easDeviceId)).rule === 'verdict' ? true : undefined));
  assert.equal((await ask('UNKNOWN1')).rule, 'device');
  const state = await eventually(async () => {
    const { proxies } = await client.graphql<{
      proxies: { nodes: { state: { internal: boolean; advice: string | null; devices: number } | null }[] };
    }>('{ proxies { nodes { state { internal advice devices } } } }', {}, contoso.token);
    const found = proxies.nodes[0]?.state;
    return found?.internal ? found : undefined;
  });
  assert.deepEqual([state.advice, state.devices], [null, 1]);
  // As a rotation of logs does it.
  const [name = ''] = readdirSync(accessLogs);
  renameSync(join(accessLogs, name), join(accessLogs, 'away'));
  server.process.kill('SIGHUP');
  await eventually(async () => (existsSync(join(accessLogs, name)) ? true : undefined));
  assert.equal((await ask(easDeviceId)).rule, 'verdict');
});

test('a second server on the same data folder is refused, and replay tells the story from the log', async () => {
  const second = startCommand(['serve', '--port', '0'], { MUSTER_DATA_DIR: dataDir });
  assert.equal(await second.ended, 1);
  assert.match(second.errors(), /data-dir-in-use/);
  const replay = startCommand(['replay', '--tenant', 'contoso'], { MUSTER_DATA_DIR: dataDir });
  assert.equal(await replay.ended, 0, replay.errors());
  const lines = replay
    .output()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  const types = lines.map((line) => line['type']);
  for (const type of [
    'TenantCreated',
    'DeviceEnrolled',
    'DeviceCheckedIn',
    'TaskCompleted',
    'ComplianceVerdictReached',
  ])
    assert.ok(types.includes(type), type);
  assert.doesNotMatch(replay.output(), /fabrikam/);
  assert.doesNotMatch(replay.output(), /"tokenHash":"[0-9a-f]/);
  const folded = lines.filter((line) => 'state' in line);
  assert.ok(folded.some((line) => JSON.stringify(line['state']).includes('non-compliant')));
});
