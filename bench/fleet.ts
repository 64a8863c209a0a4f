/**
 * A tenant with an enrolled fleet on a fresh server. Called by the benches that talk to a whole Muster.
 */
import { type Admin, createTenant, signInFirst } from '../cli/admin.ts';
import { openClient } from '../cli/client.ts';
import { enrolAll } from '../cli/fleet/drive.ts';
import type { ThrowAwayIssuer } from '../cli/licence/throw-away.ts';
import type { SimulatedDevice } from '../cli/simulated-device.ts';
import { newSecret } from '../platform/new-id.ts';
import type { MusterServer } from '../test/support/muster.ts';

/** Makes a tenant and enrols `size` devices in it; the administrator's client has as many connections. */
export const prepareFleet = async (
  server: MusterServer,
  license: ThrowAwayIssuer['license'],
  size: number,
): Promise<{ admin: Admin; devices: SimulatedDevice[] }> => {
  const client = openClient(server.url, { connections: size });
  const first = {
    tenantSlug: 'operator',
    email: 'operator@muster.local',
    password: server.password as string,
  };
  const operator = await signInFirst(client, first, newSecret());
  await license(operator, size);
  const { admin } = await createTenant(operator, {
    name: 'Bench',
    slug: 'bench',
    email: 'a@bench.example',
    password: newSecret(),
    seats: size,
  });
  const { devices } = await enrolAll(admin, { devices: size, checkIns: 0, concurrency: 16 });
  return { admin, devices };
};
