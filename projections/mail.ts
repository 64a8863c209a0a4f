/**
 * Read model of mail verdicts, the latest one per device, in the order they changed.
 * Called by the feed that EAS proxies follow (api/events/) and by projections' own tests.
 */
import type { Fact } from '../domain/decider.ts';
import { type DeviceEvent, type DeviceState, evolveDevice, initialDevice } from '../domain/device/device.ts';
import { mailVerdict } from '../domain/device/mail.ts';
import type { DeviceId, TenantId } from '../domain/ids.ts';
import type { StoredEvent } from '../platform/event-store.ts';
import { asTenant, type Sql } from '../platform/sql.ts';
import { factOf, foldedColumns, foldRows } from './fold.ts';
import { columnsOf, type Page, type PageRequest, readPage } from './page.ts';
import { key, type Projection } from './projection.ts';

/** The mail verdict on a device. */
export interface MailVerdictRow {
  readonly tenantId: TenantId;
  readonly deviceId: DeviceId;
  /** The id that the device presents in ActiveSync; null until it reported one. */
  readonly easDeviceId: string | null;
  readonly userEmail: string | null;
  readonly access: 'allow' | 'deny';
  /** Whether a wipe of the device is queued or sent and not over. */
  readonly wipePending: boolean;
  /** Why, in one sentence. */
  readonly reason: string;
  /** Log position at which this verdict last changed. */
  readonly changedPosition: bigint;
}

type Content = Pick<MailVerdictRow, 'easDeviceId' | 'userEmail' | 'access' | 'wipePending' | 'reason'>;
type Facts = Pick<DeviceState, 'status' | 'mailAccess' | 'verdict' | 'userEmail'>;
type Known = Facts & {
  readonly content: Content;
  /** Of wipes alone. */
  readonly openTasks: DeviceState['openTasks'];
  readonly changedPosition: string;
};

const relevant = new Set([
  'DeviceRegistered',
  'DeviceEnrolled',
  'DeviceInventoryChanged',
  'DeviceEasIdBound',
  'DeviceMailAccessSet',
  'DeviceUserAssigned',
  'ComplianceVerdictReached',
  'DeviceUnenrolled',
  'TaskQueued',
  'TaskCompleted',
  'TaskFailed',
  'TaskCancelled',
  'TaskExpired',
]);

const evolve = (known: Known | undefined, event: StoredEvent): Known => {
  const before: DeviceState = {
    ...initialDevice,
    ...(known && {
      status: known.status,
      mailAccess: known.mailAccess,
      verdict: known.verdict,
      userEmail: known.userEmail,
      openTasks: known.openTasks,
      inventory: { easDeviceId: known.content.easDeviceId },
    }),
  };
  const state = evolveDevice(before, factOf<Fact<DeviceEvent>>(event));
  const { status, mailAccess, verdict, userEmail } = state;
  const openTasks = state.openTasks.filter(({ type }) => type === 'wipe');
  const content: Content = {
    easDeviceId: state.inventory.easDeviceId ?? null,
    userEmail,
    wipePending: openTasks.length > 0,
    ...mailVerdict(state),
  };
  const unchanged =
    known !== undefined &&
    (Object.keys(content) as (keyof Content)[]).every((name) => content[name] === known.content[name]);
  return {
    status,
    mailAccess,
    verdict,
    userEmail,
    openTasks,
    content,
    changedPosition: unchanged ? known.changedPosition : event.position.toString(),
  };
};

export const mailProjection: Projection = {
  name: 'mail',
  version: 4,
  categories: ['device'],
  tables: [
    {
      name: 'mail_verdicts',
      columns: `device_id ${key} not null, eas_device_id text, user_email text, access text not null,
        wipe_pending boolean not null, reason text not null, changed_position bigint not null, ${foldedColumns}, primary key (tenant_id, device_id)`,
      indexes: ['(tenant_id, changed_position)', '(tenant_id, upper(eas_device_id))'],
    },
  ],
  apply: (tx, events) =>
    foldRows<Known>(
      tx,
      events.filter(({ type }) => relevant.has(type)),
      {
        table: 'mail_verdicts',
        id: 'device_id',
        evolve,
        columns: ({ content, changedPosition }) => ({
          eas_device_id: content.easDeviceId,
          user_email: content.userEmail,
          access: content.access,
          wipe_pending: content.wipePending,
          reason: content.reason,
          changed_position: changedPosition,
        }),
      },
    ),
};

const columns = columnsOf<MailVerdictRow>({
  tenantId: 'tenant_id',
  deviceId: 'device_id',
  easDeviceId: 'eas_device_id',
  userEmail: 'user_email',
  access: 'access',
  wipePending: 'wipe_pending',
  reason: 'reason',
  changedPosition: 'changed_position',
});

/** Verdicts that changed after a log position, in the order they changed, at most `limit`. */
export const mailVerdictsSince = (
  sql: Sql,
  tenantId: TenantId,
  position: bigint,
  limit: number,
): Promise<readonly MailVerdictRow[]> =>
  asTenant(
    sql,
    tenantId,
    (tx) => tx<MailVerdictRow[]>`
      select ${tx.unsafe(columns)} from read.mail_verdicts
      where changed_position > ${position.toString()}::bigint order by changed_position limit ${limit}`,
  );

/** Verdicts on the devices that present this EAS id, without regard to case; a handful at most. */
export const mailVerdictsOfEasId = (
  sql: Sql,
  tenantId: TenantId,
  easDeviceId: string,
): Promise<readonly MailVerdictRow[]> =>
  asTenant(
    sql,
    tenantId,
    (tx) => tx<MailVerdictRow[]>`
      select ${tx.unsafe(columns)} from read.mail_verdicts
      where upper(eas_device_id) = ${easDeviceId.toUpperCase()} order by changed_position desc limit 20`,
  );

/** All verdicts of the tenant by device id, for a proxy's first snapshot. */
export const listMailVerdicts = (
  sql: Sql,
  tenantId: TenantId,
  page: PageRequest,
): Promise<Page<MailVerdictRow>> =>
  asTenant(sql, tenantId, (tx) =>
    readPage(
      tx,
      { columns, from: 'read.mail_verdicts', order: [{ column: 'device_id', type: 'text' }] },
      page,
    ),
  );
