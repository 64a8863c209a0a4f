/**
 * How long after a device reported what breaks a rule every proxy refuses it mail, and its held Ping is over: a whole
 * Muster, several proxies, a process each. Counted from the moment the check-in is sent, so that the way to the commit
 * of the verdict is in it. Called by bench/main.ts.
 */
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Agent, request } from 'undici';
import { type Admin, registerProxy } from '../../cli/admin.ts';
import { freePort } from '../../cli/free-port.ts';
import { throwAwayIssuer } from '../../cli/licence/throw-away.ts';
import type { SimulatedDevice } from '../../cli/simulated-device.ts';
import { makeIdentity } from '../../proxy/identity.ts';
import { instanceDir } from '../../proxy/instance.ts';
import { type Command, startCommand, startMuster } from '../../test/support/muster.ts';
import { prepareFleet } from '../fleet.ts';
import { summarise } from '../measure.ts';
import { heading, row } from '../report.ts';

const proxies = 3;
const devices = 200;
/** Devices whose verdicts change at the same time. */
const atOnce = 4;
const pollMs = 5;

/** A mail server that holds every Ping for ever and answers all else at once. */
const startMailServer = async () => {
  let held = 0;
  const server = createServer((req, res) => {
    if (req.url?.includes('Cmd=Ping')) held += 1;
    else res.end();
  });
  server.requestTimeout = 0;
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    held: () => held,
    stop: () => {
      server.close();
      server.closeAllConnections();
    },
  };
};

interface Proxy {
  readonly url: string;
  readonly command: Command;
}

const startProxy = async (dir: string, name: string, admin: Admin, mailUrl: string): Promise<Proxy> => {
  const { proxyFeed } = await admin.client.graphql<{ proxyFeed: { url: string; pin: string } }>(
    '{ proxyFeed { url pin } }',
    {},
    admin.token,
  );
  const listenPort = await freePort();
  const url = `http://127.0.0.1:${listenPort}`;
  const config = {
    serverUrl: proxyFeed.url,
    serverPin: proxyFeed.pin,
    stateDir: join(dir, name),
    adminPort: 0,
    instances: [{ name, listenPort, publicUrl: url, backend: { url: mailUrl } }],
  };
  const file = join(dir, `${name}.json`);
  writeFileSync(file, JSON.stringify(config));
  await registerProxy(admin, name, makeIdentity(instanceDir(config, name), name, new Date()).certificate);
  const command = startCommand(['proxy', '--config', file]);
  await command.line(/listens on (\S+)/);
  return { url, command };
};

/** A Ping for the changes of folder 1 in WBXML (MS-ASCMD 2.2.1.13): heartbeat 3540 s. */
const ping = Buffer.from([
  0x03, 0x01, 0x6a, 0x00, 0x00, 0x0d, 0x45, 0x48, 0x03, 0x33, 0x35, 0x34, 0x30, 0x00, 0x01, 0x49, 0x4a, 0x4b,
  0x03, 0x31, 0x00, 0x01, 0x4c, 0x03, 0x45, 0x6d, 0x61, 0x69, 0x6c, 0x00, 0x01, 0x01, 0x01, 0x01,
]);

/** The mail app of a device of the simulated fleet, at one proxy. */
const mailApp = (proxyUrl: string, device: SimulatedDevice, index: number, dispatcher: Agent) => {
  const user = `person${index}@simulation.example`;
  const headers = {
    authorization: `Basic ${Buffer.from(`${user}:bench`).toString('base64')}`,
    'content-type': 'application/vnd.ms-sync.wbxml',
    'ms-asprotocolversion': '16.1',
    'user-agent': 'Muster-Bench/1.0',
  };
  const ask = async (method: 'POST' | 'OPTIONS', command?: string, body?: Buffer): Promise<number> => {
    const query = new URLSearchParams({
      ...(command === undefined ? {} : { Cmd: command }),
      User: user,
      DeviceId: String(device.reported['easDeviceId']),
      DeviceType: 'Phone',
    });
    const answer = await request(`${proxyUrl}/Microsoft-Server-ActiveSync?${query}`, {
      dispatcher,
      method,
      headers,
      body: body ?? null,
    });
    await answer.body.dump();
    return answer.statusCode;
  };
  return {
    /** Ms since the epoch at which the answer, or the end of the connection, came. */
    ping: () => ask('POST', 'Ping', ping).then(Date.now, Date.now),
    folders: () => ask('POST', 'FolderSync', folderSync),
  };
};

/** FolderSync with sync key 0 (MS-ASWBXML page 7). */
const folderSync = Buffer.from([
  0x03, 0x01, 0x6a, 0x00, 0x00, 0x07, 0x56, 0x52, 0x03, 0x30, 0x00, 0x01, 0x01,
]);

type MailApp = ReturnType<typeof mailApp>;

/** Asks until the answer is `status`; answers when that was, ms since the epoch. */
const until = async (app: MailApp, status: number): Promise<number> => {
  while ((await app.folders()) !== status) await delay(pollMs);
  return Date.now();
};

const measure = async (
  fleet: readonly SimulatedDevice[],
  gates: readonly Proxy[],
  held: () => number,
): Promise<void> => {
  const dispatcher = new Agent({ connections: null, headersTimeout: 0, bodyTimeout: 0 });
  const apps = fleet.map((device, index) => gates.map(({ url }) => mailApp(url, device, index, dispatcher)));
  for (const device of fleet) await device.checkIn({ screenLock: true });
  for (const own of apps) await Promise.all(own.map((app) => until(app, 200)));
  const pings = apps.map((own) => own.map((app) => app.ping()));
  while (held() < fleet.length * gates.length) await delay(50);
  const checkIns: number[] = [];
  const refused: number[] = [];
  const cut: number[] = [];
  let next = 0;
  const startedAt = performance.now();
  const lane = async (): Promise<void> => {
    for (let index = next++; index < fleet.length; index = next++) {
      const sentAt = Date.now();
      const checkIn = fleet[index]?.checkIn({ rooted: true, encrypted: false }).then(() => Date.now());
      const own = apps[index] as MailApp[];
      const ends = await Promise.all(own.map((app) => until(app, 403)));
      checkIns.push(((await checkIn) as number) - sentAt);
      refused.push(Math.max(...ends) - sentAt);
      cut.push(Math.max(...(await Promise.all(pings[index] as Promise<number>[]))) - sentAt);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, lane));
  const elapsedMs = performance.now() - startedAt;
  row('check-in answered', summarise(checkIns, elapsedMs));
  row(`403 at all ${gates.length} proxies (target: p99 1 s)`, summarise(refused, elapsedMs));
  row(`held Pings over at all of them (target: 2 s)`, summarise(cut, elapsedMs));
  await dispatcher.destroy();
};

/** Prints how long a changed verdict takes to the proxies. */
export const benchProxyLag = async (): Promise<void> => {
  heading(
    `EAS proxy: from the check-in that breaks a rule, ${devices} devices, ${atOnce} at once, a held Ping of each at each proxy`,
  );
  const dir = mkdtempSync(join(tmpdir(), 'muster-bench-proxy-lag-'));
  const { licencePublicKeyFile, license } = throwAwayIssuer(dir);
  const server = await startMuster(dir, {
    MUSTER_LICENCE_PUBLIC_KEY: licencePublicKeyFile,
    MUSTER_PROXY_FEED_PORT: '0',
  });
  const mail = await startMailServer();
  const gates: Proxy[] = [];
  try {
    const { admin, devices: fleet } = await prepareFleet(server, license, devices);
    for (let index = 0; index < proxies; index += 1)
      gates.push(await startProxy(dir, `gate-${index + 1}`, admin, mail.url));
    await measure(fleet, gates, mail.held);
    await admin.client.close();
  } finally {
    await Promise.all(gates.map(({ command }) => command.stop()));
    mail.stop();
    await server.stop();
    rmSync(dir, { recursive: true, force: true });
  }
};
