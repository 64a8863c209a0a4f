/**
 * Proves what a simulated fleet was promised: every acknowledged check-in is an event of the tenant's feed, and every
 * device shows in GraphQL. Called by simulate.ts.
 */
import { type Admin, allDevices } from '../admin.ts';
import type { SimulatedDevice } from '../simulated-device.ts';

/** What was found. `missing` holds acknowledged check-in ids that are no events. */
export interface Proof {
  readonly acknowledged: number;
  readonly inLog: number;
  readonly missing: readonly string[];
  /** Devices of the fleet that GraphQL shows with a verdict and what they reported last. */
  readonly shown: number;
}

/** Reads the tenant's events from the beginning until none of `wanted` is missing or the present end is reached. */
const takeFromLog = async ({ client, token }: Admin, wanted: Set<string>): Promise<number> => {
  let found = 0;
  // The feed never ends, but every event was durable before it was acknowledged: the log has them all already.
  for await (const line of client.lines('/events/v1/feed', token, { accept: 'text/event-stream' })) {
    if (!line.startsWith('data: ')) {
      if (wanted.size === 0) break;
      continue;
    }
    const event = JSON.parse(line.slice(6)) as { type: string; data: { checkInId?: string } };
    if (event.type !== 'DeviceCheckedIn') continue;
    if (wanted.delete(event.data.checkInId ?? '')) found += 1;
    if (wanted.size === 0) break;
  }
  return found;
};

const timeLimitMs = 60_000;

/** Checks log and read models; waits for the read models to show what the log holds, at most a minute. */
export const verifyFleet = async (admin: Admin, devices: readonly SimulatedDevice[]): Promise<Proof> => {
  const wanted = new Set(devices.flatMap((device) => device.acknowledged));
  const acknowledged = wanted.size;
  const giveUp = new Promise<number>((resolve) => {
    setTimeout(() => resolve(acknowledged - wanted.size), timeLimitMs).unref();
  });
  const inLog = await Promise.race([takeFromLog(admin, wanted), giveUp]);
  const fleet = new Map(devices.map((device) => [device.deviceId, device]));
  const endsAt = Date.now() + timeLimitMs;
  let shown = 0;
  do {
    shown = 0;
    for await (const row of allDevices(admin)) {
      const battery = fleet.get(row.id)?.reported['batteryPercent'];
      if (battery !== undefined && row.inventory.batteryPercent === battery && row.complianceStatus !== null)
        shown += 1;
    }
  } while (shown < fleet.size && Date.now() < endsAt);
  return { acknowledged, inLog, missing: [...wanted], shown };
};
