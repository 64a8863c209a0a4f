/**
 * Brings mailboxes into step with what Muster wants of their devices, and records what became of each. Called by the
 * jobs reconcile-exchange (everybody, by schedule) and switch-mail-access (one person, at once).
 */
import { deviceDecider } from '../../domain/device/decide.ts';
import { mailVerdict } from '../../domain/device/mail.ts';
import { type ExchangeCommand, exchangeDecider } from '../../domain/exchange/decide.ts';
import {
  type ExchangeChange,
  type ExchangeConnection,
  type ExchangeSettings,
  mostListed,
  type Reconciliation,
  type StrangePartnership,
} from '../../domain/exchange/exchange.ts';
import {
  changesNothing,
  type MailboxPlan,
  planMailbox,
  type WantedDevice,
} from '../../domain/exchange/plan.ts';
import type { DeviceId, TenantId } from '../../domain/ids.ts';
import { MusterError } from '../../platform/errors.ts';
import type { QueueName } from '../../platform/queue.ts';
import { causeOf } from '../cause.ts';
import type { Origin, Parts } from '../jobs.ts';
import { asLine } from './cmdlets.ts';
import type { MailAccessController } from './controller.ts';

/** What a piece of work is about and with. */
export interface Work {
  readonly parts: Parts;
  readonly tenantId: TenantId;
  readonly name: string;
  readonly connection: ExchangeConnection;
  readonly controller: MailAccessController;
  readonly dryRun: boolean;
  readonly job: { readonly queue: QueueName; readonly id: string; readonly origin?: Origin | undefined };
}

/** Sends a command about the connection; repeated by a repeated job, it is the same command. */
export const tell = async (
  { parts, tenantId, job }: Omit<Work, 'controller'>,
  key: string,
  command: ExchangeCommand,
) => {
  const cause = causeOf(job.queue, `${job.id}.${key}`, job.origin);
  await parts.deps.handler.handle(exchangeDecider, { tenantId, id: tenantId }, command, cause);
};

interface Counts {
  mailboxes: number;
  drifted: number;
  failed: number;
  strange: number;
  readonly changes: ExchangeChange[];
  readonly strangers: StrangePartnership[];
}

export const newCounts = (): Counts => ({
  mailboxes: 0,
  drifted: 0,
  failed: 0,
  strange: 0,
  changes: [],
  strangers: [],
});

const list = <Item>(into: Item[], item: Item) => {
  if (into.length < mostListed) into.push(item);
};

const rulesOf = (settings: ExchangeSettings) => ({
  containerApps: settings.containerApps,
  bindUnknown: settings.bindUnknown,
  ewsFollowsMail: settings.kind === 'on-premises' && settings.ewsFollowsMail,
});

/** The plan in the words of the record. */
const changesOf = (mailbox: string, plan: MailboxPlan): ExchangeChange[] => [
  ...plan.bound.map(({ partnershipId }) => ({
    mailbox,
    partnershipId,
    action: 'bind' as const,
    reason: 'The one unknown partnership of the one device without an id.',
  })),
  ...plan.devices
    .filter(({ drifted }) => drifted)
    .map(({ partnershipId, access, reason }) => ({
      mailbox,
      partnershipId,
      action: access,
      reason: asLine(reason),
    })),
  ...plan.forgotten.map((partnershipId) => ({
    mailbox,
    partnershipId,
    action: 'forget' as const,
    reason: 'The device is no longer one of this person.',
  })),
  ...(plan.ews === null
    ? []
    : [
        {
          mailbox,
          partnershipId: null,
          action: plan.ews ? ('open-ews' as const) : ('close-ews' as const),
          reason: plan.ews ? 'A device may have mail.' : 'No device may have mail.',
        },
      ]),
];

const record = async (work: Work, mailbox: string, plan: MailboxPlan): Promise<void> => {
  const { name } = work;
  for (const { deviceId, partnershipId } of plan.bound)
    await tell(work, `${deviceId}.bind`, { type: 'BindPartnership', name, deviceId, mailbox, partnershipId });
  for (const { deviceId, partnershipId, access, reason } of plan.devices)
    await tell(work, `${deviceId}.access`, {
      type: 'RecordMailAccess',
      name,
      deviceId,
      mailbox,
      partnershipId,
      access,
      reason: asLine(reason),
    });
};

const noteStrangers = async (work: Work, mailbox: string, plan: MailboxPlan, counts: Counts) => {
  if (plan.strangers.length === 0) return;
  counts.strange += plan.strangers.length;
  if (counts.strangers.length >= mostListed) return;
  const syncs = await work.controller.readLastSyncs(mailbox);
  for (const { partnershipId, deviceType, accessState } of plan.strangers)
    list(counts.strangers, {
      mailbox,
      partnershipId,
      deviceType,
      accessState,
      lastSuccessAt: syncs.get(partnershipId.toUpperCase()) || null,
    });
};

/** The same devices as the write side knows them now: the read model was read long ago when mailboxes are many. */
const refreshed = async (
  { parts, tenantId }: Work,
  mailbox: string,
  wanted: readonly WantedDevice[],
): Promise<WantedDevice[]> => {
  const now: WantedDevice[] = [];
  for (const device of wanted) {
    const { state } = await parts.deps.handler.load(deviceDecider, { tenantId, id: device.deviceId });
    if (state.userEmail?.toLowerCase() === mailbox)
      now.push({ ...device, enrolled: state.status === 'enrolled', ...mailVerdict(state) });
  }
  return now;
};

/** Brings one mailbox into step; `elsewhere` as in plan.ts. */
export const reconcileMailbox = async (
  work: Work,
  mailbox: string,
  wanted: readonly WantedDevice[],
  elsewhere: (partnershipId: string) => boolean,
  counts: Counts,
): Promise<void> => {
  const { controller, connection, dryRun } = work;
  const has = await controller.readMailbox(mailbox);
  const known = wanted.map((device) => ({
    ...device,
    partnershipId: device.partnershipId ?? connection.bound[device.deviceId] ?? null,
  }));
  const rules = rulesOf(connection.settings);
  const first = planMailbox(known, has, rules, elsewhere);
  // A verdict that changed meanwhile must not be undone by an older one.
  const plan = changesNothing(first)
    ? first
    : planMailbox(await refreshed(work, mailbox, known), has, rules, elsewhere);
  for (const change of changesOf(mailbox, plan)) {
    counts.drifted += 1;
    list(counts.changes, change);
  }
  await noteStrangers(work, mailbox, plan, counts);
  if (dryRun) return;
  if (!changesNothing(plan)) {
    await controller.switchAccess(mailbox, plan.lists);
    if (plan.ews !== null) await controller.switchEws(mailbox, plan.ews);
  }
  await record(work, mailbox, plan);
};

/** Records what went wrong with the devices of a mailbox; the same failure again is recorded once. */
export const recordFailure = async (
  work: Omit<Work, 'controller'>,
  mailbox: string,
  deviceIds: readonly DeviceId[],
  { code, message }: MusterError,
): Promise<void> => {
  const reason = asLine(message);
  for (const deviceId of deviceIds)
    await tell(work, `${deviceId}.failure`, {
      type: 'RecordMailAccessFailure',
      name: work.name,
      deviceId,
      mailbox,
      code,
      reason,
    });
};

/** Only a fault of one mailbox lets the others go on: one of the server or the account would meet them all. */
export const isOfMailbox = (error: unknown): error is MusterError =>
  error instanceof MusterError && error.code === 'mailbox-missing';

/** Bars the apps that the settings bar; rules that others made stay. */
export const barApps = async ({ controller, connection, dryRun }: Work, counts: Counts): Promise<void> => {
  const { barredApps } = connection.settings;
  if (barredApps.length === 0) return;
  const there = await controller.readBarredApps();
  for (const app of barredApps) {
    if (
      there.some(({ characteristic, query }) => characteristic === app.characteristic && query === app.query)
    )
      continue;
    counts.drifted += 1;
    list(counts.changes, {
      mailbox: 'organisation@exchange.invalid',
      partnershipId: null,
      action: 'bar-app',
      reason: asLine(`${app.characteristic} ${app.query}`),
    });
    if (!dryRun) await controller.barApp(app);
  }
};

export const outcomeOf = (
  counts: Counts,
  dryRun: boolean,
  defaultAccessLevel: Reconciliation['defaultAccessLevel'],
): Reconciliation => ({ ...counts, dryRun, defaultAccessLevel });
