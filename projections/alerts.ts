/**
 * Read model of alerts: opened when a verdict gains a violation that creates one, closed when it clears.
 * Called by api/graphql/alert.ts.
 */
import type { Violation } from '../domain/compliance/verdict.ts';
import type { Fact } from '../domain/decider.ts';
import type { DeviceEvent } from '../domain/device/device.ts';
import type { DeviceId, TenantId } from '../domain/ids.ts';
import type { StoredEvent } from '../platform/event-store.ts';
import { eventId } from '../platform/new-id.ts';
import { asTenant, type Sql } from '../platform/sql.ts';
import { factOf, foldEntities, foldedColumns, saveRows } from './fold.ts';
import { columnsOf, type Page, type PageRequest, readPage } from './page.ts';
import { key, type Projection } from './projection.ts';

/** An alert about one violated rule of one device. Times are ISO 8601, UTC. */
export interface AlertRow {
  /** UUID; the same whenever the log is replayed. */
  readonly alertId: string;
  readonly deviceId: DeviceId;
  readonly rule: Violation['rule'];
  readonly severity: Violation['severity'];
  /** Why, in one sentence, as last reported. */
  readonly why: string;
  readonly openedAt: string;
  /** null while it is open. */
  readonly closedAt: string | null;
}

type Alert = Omit<AlertRow, 'deviceId'> & { readonly openedPosition: string };

/** A device as far as alerts go. `closed` are those that the batch at hand closed. */
interface Watched {
  readonly enrolled: boolean;
  readonly open: readonly Alert[];
  readonly closed: readonly Alert[];
}

/** Of a device that left, only that it is no longer managed is worth an alert. */
const alarming = (violation: Violation, enrolled: boolean): boolean =>
  (enrolled || violation.rule === 'managed') &&
  violation.actions.some(({ action }) => action === 'create-alert');

const open = ({ rule, severity, why }: Violation, event: StoredEvent): Alert => ({
  alertId: eventId(event.stream, `alert-${rule}@${event.revision}`, 0),
  rule,
  severity,
  why,
  openedAt: event.at,
  closedAt: null,
  openedPosition: event.position.toString(),
});

const watch = (watched: Watched, violations: readonly Violation[], event: StoredEvent): Watched => {
  const known = new Map(watched.open.map((alert) => [alert.rule, alert]));
  const wanted = violations.filter((violation) => alarming(violation, watched.enrolled));
  const rules = new Set(wanted.map(({ rule }) => rule));
  return {
    ...watched,
    open: wanted.map((violation) => {
      const alert = known.get(violation.rule);
      return alert ? { ...alert, severity: violation.severity, why: violation.why } : open(violation, event);
    }),
    closed: [
      ...watched.closed,
      ...watched.open
        .filter(({ rule }) => !rules.has(rule))
        .map((alert) => ({ ...alert, closedAt: event.at })),
    ],
  };
};

const unwatched: Watched = { enrolled: false, open: [], closed: [] };

const evolve = (watched: Watched = unwatched, event: StoredEvent): Watched => {
  const { type, data } = factOf<Fact<DeviceEvent>>(event);
  if (type === 'DeviceEnrolled') return { ...watched, enrolled: true };
  if (type === 'DeviceUnenrolled') return watch({ ...watched, enrolled: false }, [], event);
  if (type === 'ComplianceVerdictReached') return watch(watched, data.verdict.violations, event);
  return watched;
};

const relevant = new Set(['DeviceEnrolled', 'DeviceUnenrolled', 'ComplianceVerdictReached']);

export const alertsProjection: Projection = {
  name: 'alerts',
  version: 1,
  categories: ['device'],
  tables: [
    {
      name: 'alerts',
      columns: `alert_id ${key} not null, device_id ${key} not null, rule text not null, severity text not null,
        why text not null, opened_at ${key} not null, closed_at ${key}, is_open boolean not null,
        opened_position bigint not null, primary key (tenant_id, alert_id)`,
      indexes: [
        '(tenant_id, opened_position, alert_id)',
        '(tenant_id, is_open, opened_position, alert_id)',
        '(tenant_id, device_id, opened_position, alert_id)',
      ],
    },
    {
      name: 'watched_devices',
      columns: `device_id ${key} not null, ${foldedColumns}, primary key (tenant_id, device_id)`,
    },
  ],
  async apply(tx, events) {
    const folded = await foldEntities<Watched>(
      tx,
      events.filter(({ type }) => relevant.has(type)),
      { table: 'watched_devices', keys: ['device_id'], keysOf: ({ entityId }) => [entityId], evolve },
    );
    await saveRows(
      tx,
      'alerts',
      ['alert_id'],
      folded.flatMap(({ tenantId, keys, state }) =>
        [...state.closed, ...state.open].map((alert) => ({
          tenant_id: tenantId,
          alert_id: alert.alertId,
          device_id: keys[0],
          rule: alert.rule,
          severity: alert.severity,
          why: alert.why,
          opened_at: alert.openedAt,
          closed_at: alert.closedAt,
          is_open: alert.closedAt === null,
          opened_position: alert.openedPosition,
        })),
      ),
    );
    await saveRows(
      tx,
      'watched_devices',
      ['device_id'],
      folded.map(({ tenantId, keys, state, last }) => ({
        tenant_id: tenantId,
        device_id: keys[0],
        revision: last.revision.toString(),
        state: { ...state, closed: [] },
      })),
    );
  },
};

const columns = columnsOf<AlertRow>({
  alertId: 'alert_id',
  deviceId: 'device_id',
  rule: 'rule',
  severity: 'severity',
  why: 'why',
  openedAt: 'opened_at',
  closedAt: 'closed_at',
});

/** Which alerts; every condition given must hold. */
export interface AlertFilter {
  readonly open?: boolean | undefined;
  readonly deviceId?: DeviceId | undefined;
}

/** Alerts, the newest first. */
export const listAlerts = (
  sql: Sql,
  tenantId: TenantId,
  filter: AlertFilter,
  page: PageRequest,
): Promise<Page<AlertRow>> =>
  asTenant(sql, tenantId, (tx) =>
    readPage(
      tx,
      {
        columns,
        from: 'read.alerts',
        where: [
          ...(filter.open === undefined ? [] : [tx`is_open = ${filter.open}`]),
          ...(filter.deviceId === undefined ? [] : [tx`device_id = ${filter.deviceId}`]),
        ],
        order: [
          { column: 'opened_position', type: 'bigint' },
          { column: 'alert_id', type: 'text' },
        ],
        descending: true,
      },
      page,
    ),
  );

/** How many alerts are open. */
export const countOpenAlerts = (sql: Sql, tenantId: TenantId): Promise<number> =>
  asTenant(sql, tenantId, async (tx) => {
    const [row] = await tx<{ count: number }[]>`select count(*)::int as count from read.alerts where is_open`;
    return row?.count ?? 0;
  });
