/**
 * Enrols a fleet and lets it check in, with a bounded number of devices talking at once. Called by simulate.ts and by
 * the benches.
 */
import { type Admin, createEnrolment } from '../admin.ts';
import { type Appearance, enrolDevice, type SimulatedDevice } from '../simulated-device.ts';

/** How large the fleet is. */
export interface FleetSize {
  readonly devices: number;
  readonly checkIns: number;
  readonly concurrency: number;
}

/** How fast something went: `perSecond` over the whole phase, latencies in ms. */
export interface Rate {
  readonly count: number;
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** Runs `work` for every index below `total`, at most `concurrency` at once; a failure ends the whole. */
const forEachIndex = async (
  total: number,
  concurrency: number,
  work: (index: number) => Promise<void>,
): Promise<Rate> => {
  const latencies: number[] = [];
  const startedAt = performance.now();
  let next = 0;
  const loop = async () => {
    for (let index = next++; index < total; index = next++) {
      const before = performance.now();
      await work(index);
      latencies.push(performance.now() - before);
    }
  };
  await Promise.all(Array.from({ length: Math.min(concurrency, total) }, loop));
  const elapsedMs = performance.now() - startedAt;
  latencies.sort((a, b) => a - b);
  const at = (share: number) =>
    latencies[Math.min(latencies.length - 1, Math.floor(share * latencies.length))] ?? 0;
  return { count: total, perSecond: (total * 1000) / elapsedMs, p50Ms: at(0.5), p99Ms: at(0.99) };
};

const platforms = ['ios', 'android', 'android', 'windows', 'macos'] as const;
const versions = {
  ios: ['18.6', '26.1'],
  android: ['14', '15', '16'],
  windows: ['10.0.26100'],
  macos: ['15.7', '26.1'],
};

/** What the `index`th device of a simulated fleet looks like: the same for the same index. */
const looksOf = (index: number): Appearance => {
  const platform = platforms[index % platforms.length] as Appearance['platform'];
  const known = versions[platform];
  return {
    platform,
    name: `Simulated ${index}`,
    inventory: {
      model: `Model ${index % 17}`,
      serialNumber: `SIM${String(index).padStart(8, '0')}`,
      osVersion: known[index % known.length],
      easDeviceId: `SIMULATED${String(index).padStart(8, '0')}`,
      rooted: false,
      encrypted: true,
      screenLock: index % 50 !== 0,
    },
    apps: [{ id: 'com.example.mail', name: 'Mail', version: `4.${index % 9}.0` }],
  };
};

/** Enrols the fleet: a code from GraphQL and an enrolment by REST for each device. */
export const enrolAll = async (
  admin: Admin,
  size: FleetSize,
  advance: () => void = () => {},
): Promise<{ devices: SimulatedDevice[]; rate: Rate }> => {
  const devices: SimulatedDevice[] = [];
  const rate = await forEachIndex(size.devices, size.concurrency, async (index) => {
    const code = await createEnrolment(admin, { userEmail: `person${index}@simulation.example` });
    devices[index] = await enrolDevice(admin.client, code, looksOf(index));
    advance();
  });
  return { devices, rate };
};

/** Lets every device check in `checkIns` times, reporting a changed battery level each time. */
export const checkInAll = async (
  devices: readonly SimulatedDevice[],
  size: FleetSize,
  advance: () => void = () => {},
): Promise<Rate> => {
  const { checkIns, concurrency } = size;
  return forEachIndex(devices.length * checkIns, concurrency, async (index) => {
    // Neighbouring indexes are different devices, so that those that talk at once never share one.
    const device = devices[index % devices.length] as SimulatedDevice;
    await device.checkIn({ batteryPercent: 100 - (Math.floor(index / devices.length) % 100) });
    advance();
  });
};
