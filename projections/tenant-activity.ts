/**
 * Read model of how much is going on in each tenant: its devices by status, counted, and when somebody last did
 * something. All that an operator sees of a tenant's devices. Read through tenants.ts.
 */
import { categories } from '../domain/events.ts';
import type { StoredEvent } from '../platform/event-store.ts';
import type { Transaction } from '../platform/sql.ts';
import { foldEntities, foldedColumns, saveRows } from './fold.ts';
import { key, type Projection } from './projection.ts';

type Status = 'registered' | 'enrolled' | 'unenrolled';

const statusAfter: Readonly<Record<string, Status>> = {
  DeviceRegistered: 'registered',
  DeviceEnrolled: 'enrolled',
  DeviceUnenrolled: 'unenrolled',
};

interface Change {
  readonly tenant_id: string;
  readonly registered: number;
  readonly enrolled: number;
  readonly unenrolled: number;
  readonly last_activity_at: string | null;
}

const none = { registered: 0, enrolled: 0, unenrolled: 0, last_activity_at: null };

/** Devices that changed their status, as additions to the counts of their tenants. */
const countChanges = async (tx: Transaction, events: readonly StoredEvent[]): Promise<Change[]> => {
  const folded = await foldEntities<{ readonly status: Status }>(
    tx,
    events.filter(({ type }) => type in statusAfter),
    {
      table: 'tenant_devices',
      keys: ['device_id'],
      keysOf: ({ entityId }) => [entityId],
      evolve: (_state, { type }) => ({ status: statusAfter[type] as Status }),
    },
  );
  await saveRows(
    tx,
    'tenant_devices',
    ['device_id'],
    folded.map(({ tenantId, keys: [deviceId], state, last }) => ({
      tenant_id: tenantId,
      device_id: deviceId,
      revision: last.revision.toString(),
      state,
    })),
  );
  return folded.map(({ tenantId, before, state }) => {
    const counts: Record<Status, number> = { registered: 0, enrolled: 0, unenrolled: 0 };
    if (before) counts[before.status] -= 1;
    counts[state.status] += 1;
    return { tenant_id: tenantId, ...counts, last_activity_at: null };
  });
};

const sumOf = (a: Change, b: Change): Change => ({
  tenant_id: a.tenant_id,
  registered: a.registered + b.registered,
  enrolled: a.enrolled + b.enrolled,
  unenrolled: a.unenrolled + b.unenrolled,
  last_activity_at: [a.last_activity_at, b.last_activity_at].reduce(
    (latest, at) => (latest === null || (at !== null && at > latest) ? at : latest),
    null,
  ),
});

/** To the ten minutes before: what comes again and again then changes no row for each tenant of a batch. */
const roughly = (at: string): string => `${at.slice(0, 15)}0:00.000Z`;

const apply = async (tx: Transaction, events: readonly StoredEvent[]): Promise<void> => {
  const changes = await countChanges(tx, events);
  const acts = events.map(({ tenantId, at, metadata }): Change => {
    const { kind, support } = metadata.actor;
    const own = (kind === 'account' || kind === 'device') && support !== true;
    return { tenant_id: tenantId, ...none, last_activity_at: own ? roughly(at) : null };
  });
  const sums = new Map<string, Change>();
  for (const change of [...changes, ...acts]) {
    const known = sums.get(change.tenant_id);
    sums.set(change.tenant_id, known ? sumOf(known, change) : change);
  }
  await tx`
    insert into tenant_activity as known (tenant_id, registered, enrolled, unenrolled, last_activity_at)
    select c.* from jsonb_populate_recordset(null::tenant_activity, ${tx.json([...sums.values()] as never)}) c
    left join tenant_activity k using (tenant_id)
    where k.tenant_id is null or c.last_activity_at > coalesce(k.last_activity_at, '')
      or c.registered <> 0 or c.enrolled <> 0 or c.unenrolled <> 0
    order by c.tenant_id
    on conflict (tenant_id) do update set registered = known.registered + excluded.registered,
      enrolled = known.enrolled + excluded.enrolled, unenrolled = known.unenrolled + excluded.unenrolled,
      last_activity_at = greatest(known.last_activity_at, excluded.last_activity_at)`;
};

export const tenantActivityProjection: Projection = {
  name: 'tenant-activity',
  version: 2,
  categories,
  tables: [
    {
      name: 'tenant_activity',
      columns: `registered int not null, enrolled int not null, unenrolled int not null, last_activity_at ${key},
        primary key (tenant_id)`,
      operator: {
        view: 'all_tenant_activity',
        columns: ['tenant_id', 'registered', 'enrolled', 'unenrolled', 'last_activity_at'],
      },
    },
    {
      name: 'tenant_devices',
      columns: `device_id ${key} not null, ${foldedColumns}, primary key (tenant_id, device_id)`,
    },
  ],
  apply,
};
