/**
 * kill -9 of the server, of the event store and of PostgreSQL while devices check in: nothing acknowledged is lost, and
 * no check-in takes effect twice, although devices repeat what was not acknowledged.
 */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { createTenant, signInFirst } from '../../cli/admin.ts';
import { openClient } from '../../cli/client.ts';
import { enrolAll } from '../../cli/fleet/drive.ts';
import { verifyFleet } from '../../cli/fleet/verify.ts';
import { throwAwayIssuer } from '../../cli/licence/throw-away.ts';
import type { SimulatedDevice } from '../../cli/simulated-device.ts';
import { newSecret, newUuid } from '../../platform/new-id.ts';
import { type MusterServer, startMuster } from '../support/muster.ts';
import { quietPort } from '../support/port.ts';

const skip = existsSync('/proc/self/stat') ? false : 'finds the processes to kill in /proc';
const devices = 8;
/** Acknowledged check-ins between one kill and the next. */
const betweenKills = 60;
const victims = ['event store', 'postgres', 'server', 'event store'] as const;

const childrenOf = (parent: number): { pid: number; command: string }[] =>
  readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .flatMap((entry) => {
      try {
        const stat = readFileSync(`/proc/${entry}/stat`, 'utf8');
        const ppid = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
        const command = readFileSync(`/proc/${entry}/cmdline`, 'utf8').replaceAll('\0', ' ');
        return ppid === parent ? [{ pid: Number(entry), command }] : [];
      } catch {
        return [];
      }
    });

/** The process to kill, or undefined while it is being restarted. */
const pidOf = (server: MusterServer, victim: (typeof victims)[number]): number | undefined => {
  const pid = server.process.pid as number;
  if (victim === 'server') return pid;
  const pattern = victim === 'postgres' ? /bin\/postgres/ : /event-store\/child/;
  return childrenOf(pid).find(({ command }) => pattern.test(command))?.pid;
};

/** Checks in for ever; a check-in that was not acknowledged is repeated under its id until it is. */
const keepCheckingIn = async (
  device: SimulatedDevice,
  done: () => boolean,
  acknowledged: () => void,
): Promise<void> => {
  for (let turn = 0; !done(); turn += 1) {
    const checkInId = newUuid();
    for (let answered = false; !answered; ) {
      try {
        await device.checkIn({ batteryPercent: turn % 100 }, { checkInId });
        answered = true;
        acknowledged();
      } catch {
        // The server is away or said so: a device tries again, here without its usual pause but never in a tight loop.
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
  }
};

test('kill -9 of any part loses nothing acknowledged and repeats no effect', { skip }, async () => {
  const dataDir = mkdtempSync(join(tmpdir(), 'muster-kill-'));
  const { licencePublicKeyFile, license } = throwAwayIssuer(dataDir);
  const settings = {
    MUSTER_PORT: String(await quietPort()),
    MUSTER_LICENCE_PUBLIC_KEY: licencePublicKeyFile,
  };
  let server = await startMuster(dataDir, settings);
  const client = openClient(server.url, { connections: devices });
  try {
    const first = {
      tenantSlug: 'operator',
      email: 'operator@muster.local',
      password: server.password as string,
    };
    const operator = await signInFirst(client, first, newSecret());
    await license(operator, devices);
    const tenant = {
      name: 'Kill',
      slug: 'kill',
      email: 'admin@kill.example',
      password: newSecret(),
      seats: devices,
    };
    const { admin } = await createTenant(operator, tenant);
    const fleet = await enrolAll(admin, { devices, checkIns: 0, concurrency: 4 });
    let count = 0;
    let over = false;
    let wake: () => void = () => {};
    const reached = async (wanted: number) => {
      while (count < wanted) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    };
    const loops = fleet.devices.map((device) =>
      keepCheckingIn(
        device,
        () => over,
        () => {
          count += 1;
          wake();
        },
      ),
    );
    for (const victim of victims) {
      await reached(count + betweenKills);
      const pid = pidOf(server, victim);
      assert.ok(pid, `${victim} runs while check-ins are acknowledged`);
      process.kill(pid, 'SIGKILL');
      if (victim === 'server') {
        await server.ended;
        server = await startMuster(dataDir, settings);
      }
    }
    await reached(count + betweenKills);
    over = true;
    await Promise.all(loops);

    const proof = await verifyFleet(admin, fleet.devices);
    assert.deepEqual(proof.missing, [], 'every acknowledged check-in is in the log');
    assert.equal(proof.repeated, 0, 'no check-in is in the log twice');
    assert.equal(proof.shown, devices, 'the read models show what each device reported last');
    assert.ok(proof.acknowledged >= betweenKills * (victims.length + 1));
  } finally {
    await client.close();
    await server.stop('SIGTERM');
    rmSync(dataDir, { recursive: true, force: true });
  }
});
