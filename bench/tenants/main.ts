/**
 * What other tenants cost: check-ins and lists of devices on two servers, with 1 and 10,000 tenants, that have the same
 * number of devices together and, besides, one same-sized tenant each; and what an idle tenant holds. The servers run
 * side by side and are measured in turns. Called by ../main.ts.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Admin, createTenant, signInFirst } from '../../cli/admin.ts';
import { type Client, openClient } from '../../cli/client.ts';
import { throwAwayIssuer } from '../../cli/licence/throw-away.ts';
import { findRunning, type RunningMuster } from '../../cli/running.ts';
import type { TenantId } from '../../domain/ids.ts';
import { openDeps } from '../../platform/deps.ts';
import { openLog } from '../../platform/log.ts';
import { newSecret, newUuid } from '../../platform/new-id.ts';
import { type MusterServer, startMuster } from '../../test/support/muster.ts';
import { closedLoop, type Measured, medianOf } from '../measure.ts';
import { figureRow, heading, row } from '../report.ts';
import { cpuSecondsOf, type Held, heldBy, telltaleSettings, untilIdle } from './process.ts';
import { forEach, seed, seedDevices } from './seed.ts';

const rounds = 3;
const callers = 16;
const listed = 100;

/** A server under test. */
interface Arm {
  readonly tenants: number;
  readonly server: MusterServer;
  readonly running: RunningMuster;
  readonly client: Client;
  /** Administers the tenant that is the same on every server. */
  readonly admin: Admin;
  /** Tokens of devices: of all tenants, and of that one. */
  readonly all: readonly string[];
  readonly same: readonly string[];
  readonly held: Held;
  stop(): Promise<void>;
}

/** One round: calls, and CPU seconds that the server spent per 10,000 of them. */
interface Round extends Measured {
  readonly cpuPer10k: number;
}

const openSameTenant = async (
  server: MusterServer,
  client: Client,
  license: (operator: Admin, seats: number) => Promise<void>,
): Promise<{ admin: Admin; tenantId: TenantId }> => {
  const first = {
    tenantSlug: 'operator',
    email: 'operator@muster.local',
    password: server.password as string,
  };
  const operator = await signInFirst(client, first, newSecret());
  await license(operator, listed);
  const { admin, access } = await createTenant(operator, {
    name: 'Same',
    slug: 'same',
    email: 'a@same.example',
    password: newSecret(),
    seats: listed,
  });
  return { admin, tenantId: access.tenantId as TenantId };
};

/** Starts a server, fills it, and starts it anew, so that what it holds idle is not what filling left behind. */
const openArm = async (tenants: number, devices: number): Promise<Arm> => {
  const dataDir = mkdtempSync(join(tmpdir(), 'muster-bench-'));
  const { licencePublicKeyFile, license } = throwAwayIssuer(dataDir);
  const settings = { MUSTER_LICENCE_PUBLIC_KEY: licencePublicKeyFile, ...telltaleSettings };
  const filling = await startMuster(dataDir, settings);
  const first = openClient(filling.url, { connections: callers });
  const { admin, tenantId } = await openSameTenant(filling, first, license);
  const where = findRunning(dataDir) as RunningMuster;
  const deps = await openDeps(where, openLog({ level: 'warn', name: 'bench' }));
  const before = performance.now();
  const same = await seedDevices(deps.handler, tenantId, listed);
  const all = await seed(deps.handler, { tenants, devices });
  await deps.close();
  await untilIdle(where.pid);
  figureRow(`${tenants} tenants made, projected and at rest after`, (performance.now() - before) / 1000, 's');
  await first.close();
  await filling.stop();
  const server = await startMuster(dataDir, settings);
  const running = findRunning(dataDir) as RunningMuster;
  await untilIdle(running.pid);
  const client = openClient(server.url, { connections: callers });
  return {
    tenants,
    server,
    running,
    client,
    admin: { client, token: admin.token },
    all,
    same,
    held: await heldBy(dataDir, running),
    async stop() {
      await client.close();
      await server.stop();
      rmSync(dataDir, { recursive: true, force: true });
    },
  };
};

const checkIn = async ({ client }: Arm, token: string, battery: number): Promise<void> => {
  const body = { checkInId: newUuid(), inventory: { batteryPercent: battery % 100 } };
  const { status } = await client.post('/device/v1/sync', body, token);
  if (status !== 200) throw new Error(`a check-in was answered ${status}`);
};

const list = `{ devices(first: ${listed}) { nodes { id name platform status complianceStatus mailVerdict lastCheckInAt } } }`;

const listDevices = async ({ client, admin }: Arm): Promise<void> => {
  const { devices } = await client.graphql<{ devices: { nodes: unknown[] } }>(list, {}, admin.token);
  if (devices.nodes.length !== listed) throw new Error(`${devices.nodes.length} devices were listed`);
};

/** What is measured of each server: a name, and one call. Each call of the spread check-ins is of another device. */
const subjects: readonly {
  readonly name: string;
  call(arm: Arm, turn: number): Promise<void>;
}[] = [
  {
    name: 'check-in, any device of all tenants',
    call: (arm, turn) => checkIn(arm, arm.all[turn % arm.all.length] as string, turn),
  },
  {
    name: 'check-in, the 100 devices of one tenant',
    call: (arm, turn) => checkIn(arm, arm.same[turn % arm.same.length] as string, turn),
  },
  { name: 'GraphQL list of the 100 devices of one tenant', call: (arm) => listDevices(arm) },
];

/** CPU seconds that the server spends on work, until all of it is projected. */
const cpuOf = async ({ running }: Arm, work: () => Promise<unknown>): Promise<number> => {
  const before = cpuSecondsOf(running.pid);
  await work();
  await untilIdle(running.pid);
  return cpuSecondsOf(running.pid) - before;
};

/** Lets each device check in once: after a start, device and tenant are read from the log. */
const warmUp = async (arms: readonly Arm[]): Promise<void> => {
  console.log('  first check-in of each device after a start');
  let base: number | undefined;
  for (const arm of arms) {
    const each = (index: number) => checkIn(arm, arm.all[index] as string, index);
    const cpu = await cpuOf(arm, () => forEach(arm.all.length, each, callers));
    const per10k = (cpu / arm.all.length) * 10_000;
    base ??= per10k;
    const ratio = `s  ${(per10k / base).toFixed(2)} x 1 tenant`;
    figureRow(`  ${arm.tenants} tenants: CPU of the server per 10,000`, per10k, ratio);
  }
};

/** Measures one subject once; `turns` goes on where the last round ended. */
const measure = async (
  arm: Arm,
  { call }: (typeof subjects)[number],
  turns: { next: number },
  durationMs: number,
): Promise<Round> => {
  const first = turns.next;
  let measured: Measured | undefined;
  const seconds = await cpuOf(arm, async () => {
    measured = await closedLoop(callers, durationMs, () => call(arm, turns.next++));
  });
  return { ...(measured as Measured), cpuPer10k: (seconds / (turns.next - first)) * 10_000 };
};

const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] as number;

const compare = async (arms: readonly Arm[], durationMs: number): Promise<void> => {
  for (const subject of subjects) {
    const results = arms.map((arm) => ({ arm, turns: { next: 0 }, rounds: [] as Round[] }));
    for (let round = 0; round <= rounds; round += 1)
      for (const result of round % 2 ? results : [...results].reverse()) {
        const measured = await measure(result.arm, subject, result.turns, durationMs);
        // The first round warms up.
        if (round > 0) result.rounds.push(measured);
      }
    console.log(`  ${subject.name}`);
    const figures = results.map((result) => ({
      tenants: result.arm.tenants,
      measured: medianOf(result.rounds),
      cpu: median(result.rounds.map(({ cpuPer10k }) => cpuPer10k)),
      p50: median(result.rounds.map(({ p50Ms }) => p50Ms)),
    }));
    const [base] = figures as [(typeof figures)[number]];
    for (const { tenants, measured, cpu, p50 } of figures) {
      row(`  ${tenants} tenants, ${callers} callers`, measured);
      if (tenants === base.tenants) figureRow('    CPU of the server per 10,000', cpu, 's');
      else
        figureRow(
          '    CPU of the server per 10,000',
          cpu,
          `s  ${(cpu / base.cpu).toFixed(2)} x ${base.tenants} tenant, p50 ${(p50 / base.p50).toFixed(2)} x (target 1.25)`,
        );
    }
  }
};

const countOf = (names: readonly string[]): string =>
  [...new Set(names)].map((name) => `${names.filter((one) => one === name).length} ${name}`).join(', ');

/** Prints what the idle servers hold, and what a tenant more costs. */
const tellHeld = (arms: readonly Arm[]): void => {
  for (const { tenants, held } of arms) {
    console.log(
      `  ${tenants} tenants: ${held.connections} connections to PostgreSQL, ${held.queues} queues, ${countOf(held.resources)}`,
    );
  }
  const [least, most] = [arms[0], arms.at(-1)] as [Arm, Arm];
  const perTenant = (of: 'rss' | 'heapUsed') =>
    (most.held[of] - least.held[of]) / 1024 / (most.tenants - least.tenants);
  figureRow('memory per idle tenant: resident', perTenant('rss'), 'KiB (target 4)');
  figureRow('memory per idle tenant: heap after collection', perTenant('heapUsed'), 'KiB');
};

/** Prints the costs of up to `most` tenants as ratios to one. */
export const benchTenants = async (durationMs: number, most: number): Promise<void> => {
  heading(`Tenants: ${most} devices in 1 and ${most} tenants, a server each`);
  const arms: Arm[] = [];
  try {
    for (const tenants of [1, most]) arms.push(await openArm(tenants, most));
    tellHeld(arms);
    await warmUp(arms);
    await compare(arms, durationMs);
  } finally {
    for (const arm of arms) await arm.stop();
  }
};
