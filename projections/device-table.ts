/**
 * The table of devices: the domain's own fold of each device, and what queries filter, sort and show of it.
 * Listed in index.ts; queried by devices.ts.
 */
import { createHash } from 'node:crypto';
import type { Fact } from '../domain/decider.ts';
import {
  type DeviceEvent,
  type DeviceState,
  evolveDevice,
  initialDevice,
  reviewDueAt,
} from '../domain/device/device.ts';
import { mailVerdict } from '../domain/device/mail.ts';
import type { StoredEvent } from '../platform/event-store.ts';
import { factOf, foldedColumns, foldRows, type JsonRow } from './fold.ts';
import { key, type Projection, sortKey } from './projection.ts';

/** What the fold leaves out: apps have a table of their own, the rest only the write side needs. */
const unread = {
  apps: initialDevice.apps,
  recentCheckIns: initialDevice.recentCheckIns,
  recentTasks: initialDevice.recentTasks,
  recentTransfers: initialDevice.recentTransfers,
  tokenHash: null,
  enrolmentRequestId: null,
  lastWake: null,
};
type Known = Omit<DeviceState, keyof typeof unread> & { readonly verdictAt: string | null };

const digestOf = (token: string): string => createHash('sha256').update(token).digest('base64url');

/** The event with push tokens digested: the fold only compares them. */
const withoutPushToken = (fact: Fact<DeviceEvent>): Fact<DeviceEvent> => {
  if (fact.type === 'DevicePushAddressChanged' && fact.data.push) {
    const push = { ...fact.data.push, token: digestOf(fact.data.push.token) };
    return { ...fact, data: { push } };
  }
  if (fact.type === 'DevicePushTokenDied')
    return { ...fact, data: { ...fact.data, token: digestOf(fact.data.token) } };
  return fact;
};

const evolve = (known: Known | undefined, event: StoredEvent): Known => {
  const fact = withoutPushToken(factOf<Fact<DeviceEvent>>(event));
  const { verdictAt = null, ...state } = known ?? { ...initialDevice, verdictAt: null };
  // Apps may be many, and no column derives from them.
  const evolved = fact.type === 'DeviceAppsChanged' ? state : evolveDevice({ ...state, ...unread }, fact);
  const kept = Object.fromEntries(Object.entries(evolved).filter(([name]) => !(name in unread)));
  return {
    ...(kept as unknown as Known),
    verdictAt: fact.type === 'ComplianceVerdictReached' ? fact.at : verdictAt,
  };
};

const derive = (known: Known, last: StoredEvent): JsonRow => {
  const state: DeviceState = { ...known, ...unread };
  const { access, reason } = mailVerdict(state);
  return {
    name: state.name,
    name_key: sortKey(state.name),
    platform: state.platform,
    ownership: state.ownership,
    user_email: state.userEmail,
    user_key: state.userEmail === null ? null : sortKey(state.userEmail),
    serial_key: state.inventory.serialNumber ? sortKey(state.inventory.serialNumber) : null,
    group_id: state.groupId,
    status: state.status,
    enrolled_at: state.enrolledAt,
    last_check_in_at: state.lastCheckInAt,
    mail_verdict: access,
    mail_reason: reason,
    compliance_status: state.verdict?.status ?? null,
    verdict_at: known.verdictAt,
    open_task_count: state.openTasks.length,
    review_due_at: reviewDueAt(state),
    changed_position: last.position.toString(),
  };
};

export const devicesProjection: Projection = {
  name: 'devices',
  version: 1,
  categories: ['device'],
  tables: [
    {
      name: 'devices',
      columns: `device_id ${key} not null, name text not null, name_key ${key} not null, platform text not null,
        ownership text not null, user_email text, user_key ${key}, serial_key ${key}, group_id ${key},
        status text not null, enrolled_at ${key}, last_check_in_at ${key}, mail_verdict text not null,
        mail_reason text not null, compliance_status text, verdict_at ${key}, open_task_count int not null,
        review_due_at ${key}, changed_position bigint not null, ${foldedColumns},
        primary key (tenant_id, device_id)`,
      indexes: [
        '(tenant_id, name_key, device_id)',
        '(tenant_id, group_id, name_key, device_id)',
        '(tenant_id, compliance_status, name_key, device_id)',
        '(tenant_id, user_key)',
        '(tenant_id, serial_key)',
        '(tenant_id, changed_position)',
        '(review_due_at, device_id) where review_due_at is not null',
      ],
      operator: { view: 'device_reviews', columns: ['tenant_id', 'device_id', 'review_due_at'] },
    },
  ],
  apply: (tx, events) =>
    foldRows<Known>(tx, events, { table: 'devices', id: 'device_id', evolve, columns: derive }),
};
