/**
 * Durable check-ins through the real REST API of a real server, against a bare node:http JSON endpoint, against
 * single-row inserts from Node, and against raw appends of the same events; and how far projections lag behind.
 * Called by main.ts.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { EventStoreDBClient, jsonEvent } from '@eventstore/db-client';
import { openClient } from '../cli/client.ts';
import { throwAwayIssuer } from '../cli/licence/throw-away.ts';
import { findRunning, type RunningMuster } from '../cli/running.ts';
import type { SimulatedDevice } from '../cli/simulated-device.ts';
import { newUuid } from '../platform/new-id.ts';
import { startMuster } from '../test/support/muster.ts';
import { prepareFleet } from './fleet.ts';
import { benchLag } from './lag.ts';
import { closedLoop, type Measured, medianOf } from './measure.ts';
import { heading, row } from './report.ts';
import { singleInserts } from './store/appends.ts';

const callers = 64;
const rounds = 3;

/** Starts the bare endpoint in a process of its own. */
const startBare = async (): Promise<{ url: string; stop(): void }> => {
  const file = fileURLToPath(new URL('./bare-server.ts', import.meta.url));
  const child = spawn(process.execPath, ['--import', 'tsx', file], { stdio: ['pipe', 'pipe', 'inherit'] });
  const [port] = (await new Promise<string[]>((resolve) =>
    createInterface({ input: child.stdout }).once('line', (text) => resolve([text])),
  )) as [string];
  return { url: `http://127.0.0.1:${port}`, stop: () => void child.stdin.end() };
};

const bareRequests = async (url: string, durationMs: number): Promise<Measured> => {
  const client = openClient(url, { connections: callers });
  try {
    return await closedLoop(callers, durationMs, (_, round) =>
      client.post('/', {
        checkInId: newUuid(),
        inventory: { batteryPercent: round % 100 },
        taskResults: [],
        appliedPolicies: [],
      }),
    );
  } finally {
    await client.close();
  }
};

/** The two events of a check-in that changes one value, appended without anything around them. */
const rawAppends = async (eventStoreUrl: string, durationMs: number): Promise<Measured> => {
  const client = EventStoreDBClient.connectionString(eventStoreUrl);
  const metadata = {
    tenantId: 'x'.repeat(29),
    actor: { kind: 'device', id: 'x'.repeat(29) },
    $causationId: newUuid(),
    $correlationId: newUuid(),
    schemaVersion: 1,
    at: new Date().toISOString(),
  };
  const run = newUuid().replaceAll('-', '');
  try {
    return await closedLoop(callers, durationMs, (caller, round) =>
      client.appendToStream(`raw-${run}_${caller}`, [
        jsonEvent({ type: 'DeviceCheckedIn', data: { checkInId: newUuid(), dueAt: metadata.at }, metadata }),
        jsonEvent({
          type: 'DeviceInventoryChanged',
          data: { changes: { batteryPercent: round % 100 } },
          metadata,
        }),
      ]),
    );
  } finally {
    await client.dispose();
  }
};

const compare = async (
  devices: readonly SimulatedDevice[],
  bareUrl: string,
  running: RunningMuster,
  durationMs: number,
): Promise<Measured> => {
  const results = {
    bare: [] as Measured[],
    inserts: [] as Measured[],
    raw: [] as Measured[],
    checkIns: [] as Measured[],
  };
  for (let round = 0; round < rounds; round += 1) {
    results.bare.push(await bareRequests(bareUrl, durationMs));
    results.inserts.push(await singleInserts(running.databaseUrl, 32, durationMs));
    results.raw.push(await rawAppends(running.eventStoreUrl, durationMs));
    results.checkIns.push(
      await closedLoop(callers, durationMs, (caller, turn) =>
        (devices[caller] as SimulatedDevice).checkIn({ batteryPercent: turn % 100 }),
      ),
    );
  }
  const [bare, inserts, raw, checkIns] = [results.bare, results.inserts, results.raw, results.checkIns].map(
    medianOf,
  ) as [Measured, Measured, Measured, Measured];
  row('bare node:http JSON endpoint, 64 callers', bare);
  row('single-row INSERT from Node, 32 callers', inserts);
  row('raw append of the same two events, 64 callers', raw);
  row('check-in, 64 callers', checkIns, { name: 'bare endpoint', measured: bare });
  row('', checkIns, { name: 'INSERT', measured: inserts, target: 0.7 });
  row('', checkIns, { name: 'raw append', measured: raw, target: 0.6 });
  return checkIns;
};

/** Prints check-ins per second and projection lag. */
export const benchCheckIn = async (_: unknown, durationMs: number): Promise<void> => {
  const dataDir = mkdtempSync(join(tmpdir(), 'muster-bench-'));
  const { licencePublicKeyFile, license } = throwAwayIssuer(dataDir);
  const server = await startMuster(dataDir, { MUSTER_LICENCE_PUBLIC_KEY: licencePublicKeyFile });
  const bare = await startBare();
  try {
    const running = findRunning(dataDir) as RunningMuster;
    const { admin, devices } = await prepareFleet(server, license, callers);
    heading('Check-ins: POST /device/v1/sync, one value changed, acknowledged when durable');
    const checkIns = await compare(devices, bare.url, running, durationMs);
    await benchLag(devices, running, checkIns.perSecond / 2, durationMs);
    await admin.client.close();
  } finally {
    bare.stop();
    await server.stop();
    rmSync(dataDir, { recursive: true, force: true });
  }
};
