/**
 * Proves what a simulated fleet was promised: every acknowledged check-in is an event of the tenant's feed, once, and
 * GraphQL shows what every device reported last. Called by simulate.ts and by the tests of faults.
 */
import { type Admin, allDevices } from '../admin.ts';
import type { SimulatedDevice } from '../simulated-device.ts';

/** What was found. `missing` holds acknowledged check-in ids that are no events. */
export interface Proof {
  readonly acknowledged: number;
  readonly inLog: number;
  readonly missing: readonly string[];
  /** Events of check-ins that were in the log already under their id. */
  readonly repeated: number;
  /** Devices of the fleet that GraphQL shows with a verdict and what they reported last. */
  readonly shown: number;
}

const timeLimitMs = 60_000;

/** Position of the last event of the tenant's history, as GraphQL shows it. */
const lastPosition = async ({ client, token }: Admin): Promise<bigint> => {
  const { audit } = await client.graphql<{ audit: { nodes: { position: string }[] } }>(
    '{ audit(first: 1) { nodes { position } } }',
    {},
    token,
  );
  return BigInt(audit.nodes[0]?.position ?? -1);
};

/** Counts the events of each check-in id, from the beginning of the tenant's feed to the position `until`. */
const countCheckIns = async ({ client, token }: Admin, until: bigint): Promise<Map<string, number>> => {
  const counts = new Map<string, number>();
  let position = -1n;
  // From the beginning: without an id the feed starts at its present end.
  const headers = { accept: 'text/event-stream', 'last-event-id': '0' };
  for await (const line of client.lines(
    '/events/v1/feed',
    token,
    headers,
    AbortSignal.timeout(timeLimitMs),
  )) {
    if (line.startsWith('id: ')) position = BigInt(line.slice(4));
    if (line.startsWith('data: ')) {
      const event = JSON.parse(line.slice(6)) as { type: string; data: { checkInId?: string } };
      const id = event.type === 'DeviceCheckedIn' ? event.data.checkInId : undefined;
      if (id !== undefined) counts.set(id, (counts.get(id) ?? 0) + 1);
    }
    if (line === '' && position >= until) break;
  }
  return counts;
};

/** How many devices of the fleet GraphQL shows as they reported last. */
const countShown = async (admin: Admin, fleet: ReadonlyMap<string, SimulatedDevice>): Promise<number> => {
  let shown = 0;
  for await (const row of allDevices(admin)) {
    const battery = fleet.get(row.id)?.reported['batteryPercent'];
    if (battery !== undefined && row.inventory.batteryPercent === battery && row.complianceStatus !== null)
      shown += 1;
  }
  return shown;
};

/** Checks read models and log; waits for the read models to show what was acknowledged, at most a minute. */
export const verifyFleet = async (admin: Admin, devices: readonly SimulatedDevice[]): Promise<Proof> => {
  const fleet = new Map(devices.map((device) => [device.deviceId, device]));
  const endsAt = Date.now() + timeLimitMs;
  let shown = await countShown(admin, fleet);
  while (shown < fleet.size && Date.now() < endsAt) shown = await countShown(admin, fleet);
  const counts = await countCheckIns(admin, await lastPosition(admin));
  const acknowledged = devices.flatMap((device) => device.acknowledged);
  const missing = acknowledged.filter((id) => !counts.has(id));
  const repeated = [...counts.values()].reduce((sum, count) => sum + count - 1, 0);
  return {
    acknowledged: acknowledged.length,
    inLog: acknowledged.length - missing.length,
    missing,
    repeated,
    shown,
  };
};
