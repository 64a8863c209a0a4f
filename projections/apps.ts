/**
 * Read model of installed apps: per device, and on how many devices of the tenant each one is.
 * Called by api/graphql/app.ts; a device's app count is joined by devices.ts.
 */
import type { DeviceEvent } from '../domain/device/device.ts';
import type { App } from '../domain/device/inventory.ts';
import type { DeviceId, TenantId } from '../domain/ids.ts';
import type { StoredEvent } from '../platform/event-store.ts';
import { asTenant, type Sql, type Transaction } from '../platform/sql.ts';
import { foldEntities, foldedColumns, saveRows } from './fold.ts';
import { columnsOf, type Page, type PageRequest, readPage, startsWith } from './page.ts';
import { key, type Projection, sortKey } from './projection.ts';

/** An app on a device; `id` is the bundle id or package name. */
export type DeviceAppRow = App;

/** An app of the tenant, under the name that was last reported. */
export interface TenantAppRow {
  readonly id: string;
  readonly name: string;
  readonly deviceCount: number;
}

/** What a batch does to the apps of one device: forget those known before, then per app its last report (null: gone). */
interface Change {
  readonly forget: boolean;
  readonly apps: Readonly<Record<string, Omit<App, 'id'> | null>>;
}

const nothing: Change = { forget: false, apps: {} };
const everything: Change = { forget: true, apps: {} };

/** A device that is not enrolled has no apps: they are reported anew after each enrolment. */
const changeBy = (change: Change, { type, data }: StoredEvent): Change => {
  if (type === 'DeviceEnrolled' || type === 'DeviceUnenrolled') return everything;
  if (type !== 'DeviceAppsChanged') return change;
  const { installed, removed } = data as Extract<DeviceEvent, { type: 'DeviceAppsChanged' }>['data'];
  return {
    forget: change.forget,
    apps: {
      ...change.apps,
      ...Object.fromEntries(removed.map((id) => [id, null])),
      ...Object.fromEntries(installed.map(({ id, ...app }) => [id, app])),
    },
  };
};

type Delta = { tenant_id: string; app_id: string; devices: number };

const removeApps = async (
  tx: Transaction,
  forgotten: readonly object[],
  removed: readonly object[],
): Promise<Delta[]> => {
  const all =
    forgotten.length === 0
      ? []
      : await tx<Delta[]>`
          delete from device_apps a using jsonb_to_recordset(${tx.json(forgotten as never)}) as k(tenant_id text, device_id text)
          where a.tenant_id = k.tenant_id and a.device_id = k.device_id
          returning a.tenant_id, a.app_id, -1 as devices`;
  const some =
    removed.length === 0
      ? []
      : await tx<Delta[]>`
          delete from device_apps a
          using jsonb_to_recordset(${tx.json(removed as never)}) as k(tenant_id text, device_id text, app_id text)
          where a.tenant_id = k.tenant_id and a.device_id = k.device_id and a.app_id = k.app_id
          returning a.tenant_id, a.app_id, -1 as devices`;
  return [...all, ...some];
};

const installApps = async (tx: Transaction, installed: readonly object[]): Promise<Delta[]> =>
  installed.length === 0
    ? []
    : await tx<Delta[]>`
        insert into device_apps as a
        select * from jsonb_populate_recordset(null::device_apps, ${tx.json(installed as never)})
        on conflict (tenant_id, device_id, app_id) do update
          set name = excluded.name, name_key = excluded.name_key, version = excluded.version
        returning tenant_id, app_id, (case when xmax = 0 then 1 else 0 end) as devices`;

/** Adds what the batch changed to the counts of each app; an app that is on no device any more is forgotten. */
const countApps = async (
  tx: Transaction,
  deltas: readonly Delta[],
  names: ReadonlyMap<string, string>,
): Promise<void> => {
  const sums = new Map<string, Delta>();
  for (const { tenant_id, app_id, devices } of deltas) {
    const id = `${tenant_id}/${app_id}`;
    const sum = sums.get(id) ?? { tenant_id, app_id, devices: 0 };
    sums.set(id, { ...sum, devices: sum.devices + devices });
  }
  const rows = [...sums].map(([id, delta]) => {
    const name = names.get(id);
    return { ...delta, name: name ?? '', name_key: name === undefined ? '' : sortKey(name) };
  });
  if (rows.length === 0) return;
  await tx`
    insert into tenant_apps (tenant_id, app_id, devices, name, name_key)
    select tenant_id, app_id, devices, name, name_key
    from jsonb_populate_recordset(null::tenant_apps, ${tx.json(rows)})
    on conflict (tenant_id, app_id) do update set devices = tenant_apps.devices + excluded.devices,
      name = case when excluded.name = '' then tenant_apps.name else excluded.name end,
      name_key = case when excluded.name = '' then tenant_apps.name_key else excluded.name_key end`;
  await tx`delete from tenant_apps a using jsonb_to_recordset(${tx.json(rows)}) as k(tenant_id text, app_id text)
    where a.tenant_id = k.tenant_id and a.app_id = k.app_id and a.devices = 0`;
};

const relevant = new Set(['DeviceEnrolled', 'DeviceUnenrolled', 'DeviceAppsChanged']);

const apply = async (tx: Transaction, events: readonly StoredEvent[]): Promise<void> => {
  const folded = await foldEntities<Change>(
    tx,
    events.filter(({ type }) => relevant.has(type)),
    {
      table: 'device_app_counts',
      keys: ['device_id'],
      keysOf: ({ entityId }) => [entityId],
      evolve: (change, event) => changeBy(change ?? nothing, event),
    },
  );
  if (folded.length === 0) return;
  const named = (tenantId: string, deviceId: string | undefined) => ({
    tenant_id: tenantId,
    device_id: deviceId,
  });
  const forgotten = folded
    .filter(({ state }) => state.forget)
    .map(({ tenantId, keys }) => named(tenantId, keys[0]));
  const removed: object[] = [];
  const installed: object[] = [];
  for (const { tenantId, keys, state } of folded) {
    for (const [id, app] of Object.entries(state.apps)) {
      const row = { ...named(tenantId, keys[0]), app_id: id };
      if (app) installed.push({ ...row, name: app.name, name_key: sortKey(app.name), version: app.version });
      else removed.push(row);
    }
  }
  const names = new Map<string, string>();
  for (const { tenantId, type, data } of events) {
    if (type !== 'DeviceAppsChanged') continue;
    for (const { id, name } of (data as { installed: readonly App[] }).installed)
      names.set(`${tenantId}/${id}`, name);
  }
  const gone = await removeApps(tx, forgotten, removed);
  const come = await installApps(tx, installed);
  await countApps(tx, [...gone, ...come], names);
  await saveRows(
    tx,
    'device_app_counts',
    ['device_id'],
    folded.map(({ tenantId, keys, last }) => ({
      ...named(tenantId, keys[0]),
      revision: last.revision.toString(),
      // The next batch starts from the rows, not from what this one did.
      state: nothing,
      apps: 0,
    })),
  );
  await tx`
    update device_app_counts c set apps =
      (select count(*) from device_apps a where a.tenant_id = c.tenant_id and a.device_id = c.device_id)
    from jsonb_to_recordset(${tx.json(folded.map(({ tenantId, keys }) => named(tenantId, keys[0])) as never)})
      as k(tenant_id text, device_id text)
    where c.tenant_id = k.tenant_id and c.device_id = k.device_id`;
};

export const appsProjection: Projection = {
  name: 'apps',
  version: 1,
  categories: ['device'],
  tables: [
    {
      name: 'device_apps',
      columns: `device_id ${key} not null, app_id ${key} not null, name text not null, name_key ${key} not null,
        version text not null, primary key (tenant_id, device_id, app_id)`,
      indexes: ['(tenant_id, app_id)'],
    },
    {
      name: 'device_app_counts',
      columns: `device_id ${key} not null, apps int not null, ${foldedColumns}, primary key (tenant_id, device_id)`,
    },
    {
      name: 'tenant_apps',
      columns: `app_id ${key} not null, devices int not null, name text not null, name_key ${key} not null,
        primary key (tenant_id, app_id)`,
      indexes: ['(tenant_id, name_key, app_id)'],
    },
  ],
  apply,
};

/** Apps of one device by id. */
export const listDeviceApps = (
  sql: Sql,
  tenantId: TenantId,
  deviceId: DeviceId,
  page: PageRequest,
): Promise<Page<DeviceAppRow>> =>
  asTenant(sql, tenantId, (tx) =>
    readPage(
      tx,
      {
        columns: columnsOf<DeviceAppRow>({ id: 'app_id', name: 'name', version: 'version' }),
        from: 'read.device_apps',
        where: [tx`device_id = ${deviceId}`],
        order: [{ column: 'app_id', type: 'text' }],
      },
      page,
    ),
  );

/** The same shape as tenant_apps, counted anew on the devices that are not personal. */
const corporateApps = `(
  select a.app_id, max(a.name) as name, max(a.name_key) as name_key, count(*)::int as devices
  from read.device_apps a join read.devices d on d.device_id = a.device_id
  where d.ownership <> 'personal' group by a.app_id) as apps`;

/** Apps of the tenant by name, with the number of devices they are on; those whose name starts with `search`. */
export const listTenantApps = (
  sql: Sql,
  tenantId: TenantId,
  page: PageRequest,
  filter: { readonly search?: string | undefined; readonly corporateOnly?: boolean } = {},
): Promise<Page<TenantAppRow>> =>
  asTenant(sql, tenantId, (tx) =>
    readPage(
      tx,
      {
        columns: columnsOf<TenantAppRow>({ id: 'app_id', name: 'name', deviceCount: 'devices' }),
        from: filter.corporateOnly ? corporateApps : 'read.tenant_apps',
        where: filter.search ? [startsWith(tx, 'name_key', sortKey(filter.search))] : [],
        order: [
          { column: 'name_key', type: 'text' },
          { column: 'app_id', type: 'text' },
        ],
      },
      page,
    ),
  );
