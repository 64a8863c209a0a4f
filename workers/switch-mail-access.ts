/**
 * Job: switches the mail access of one device at the tenant's Exchange servers after its verdict changed. Queued by
 * react.ts; what Exchange has missed in an outage is made up for by repetition, and by reconcile-exchange.ts.
 */
import { deviceDecider } from '../domain/device/decide.ts';
import type { DeviceState } from '../domain/device/device.ts';
import { mailVerdict } from '../domain/device/mail.ts';
import { exchangeDecider } from '../domain/exchange/decide.ts';
import type { ExchangeConnection, ExchangeState } from '../domain/exchange/exchange.ts';
import type { DeviceId, TenantId } from '../domain/ids.ts';
import { same } from '../domain/same.ts';
import { MusterError } from '../platform/errors.ts';
import { exchangeSecretPurpose } from '../platform/sealed-secrets.ts';
import { openController } from './exchange/controller.ts';
import { newCounts, reconcileMailbox, recordFailure, type Work } from './exchange/reconcile.ts';
import { openTurns } from './in-turn.ts';
import type { JobData, JobKind, Parts, RunningJob } from './jobs.ts';

/** Settings may be this old: a connection made just now compares every mailbox anyway. */
const settingsAgeMs = 2000;

const switchAt = async (
  base: Omit<Work, 'controller'>,
  mailbox: string,
  wanted: Parameters<typeof reconcileMailbox>[2],
): Promise<string> => {
  const { parts, tenantId, name, connection } = base;
  const secret = await parts.secrets.get(tenantId, exchangeSecretPurpose(name));
  if (secret === null) throw new MusterError('exchange-refused', 'the secret of the connection is not set');
  const { clock } = parts.deps;
  const allowLoopback = parts.config.exchangeAllowLoopback;
  const { pauses } = parts;
  const open = { allowLoopback, clock, pauses, tenantId };
  const controller = await openController(connection.settings, secret, open);
  const work = { ...base, controller };
  try {
    // Only this device: what concerns the others of the mailbox, such as EWS, is for the comparison of all.
    const settings = { ...connection.settings, bindUnknown: false };
    const alone = settings.kind === 'on-premises' ? { ...settings, ewsFollowsMail: false } : settings;
    const narrowed = { ...work, connection: { ...connection, settings: alone } };
    await reconcileMailbox(narrowed, mailbox, wanted, () => false, newCounts());
    return 'switched';
  } finally {
    await controller.close();
  }
};

type Connections = readonly (readonly [name: string, connection: ExchangeConnection])[];

/** Connections that switch; read anew where there are any, since what was switched last counts. */
const connectionsOf = async ({ deps: { handler } }: Parts, tenantId: TenantId): Promise<Connections> => {
  const target = { tenantId, id: tenantId };
  const switching = ({ connections }: ExchangeState) =>
    Object.entries(connections).filter(([, { settings }]) => !settings.dryRun);
  const recent = await handler.load(exchangeDecider, target, { maxAgeMs: settingsAgeMs });
  if (switching(recent.state).length === 0) return [];
  return switching((await handler.load(exchangeDecider, target)).state);
};

type Base = Omit<Work, 'controller' | 'name' | 'connection'>;

/** Switches a device at one connection; a fault that may pass is answered, to be thrown when all had their turn. */
const switchOne = async (
  base: Base,
  [name, connection]: Connections[number],
  deviceId: DeviceId,
  state: DeviceState,
  evenInStep: boolean,
): Promise<{ readonly outcome: string; readonly fault?: unknown }> => {
  const { userEmail, platform, status, inventory } = state;
  if (!userEmail || !platform) return { outcome: 'no-mailbox' };
  const mailbox = userEmail.toLowerCase();
  const { access, reason } = mailVerdict(state);
  const partnershipId = inventory.easDeviceId ?? connection.bound[deviceId] ?? null;
  if (partnershipId === null) return { outcome: 'id-unknown' };
  // Most verdicts repeat the last one: drift is for the comparison of all to find.
  const switched = { mailbox, partnershipId, access: access === 'allow' ? 'allow' : 'block' };
  const inStep = same(connection.switched[deviceId], switched) && !connection.failing[deviceId];
  if (inStep && !evenInStep) return { outcome: 'in-step' };
  const job = { ...base.job, id: `${base.job.id}.${name}` };
  const work = { ...base, name, connection, job };
  const wanted = [{ deviceId, partnershipId, platform, enrolled: status === 'enrolled', access, reason }];
  try {
    return { outcome: await switchAt(work, mailbox, wanted) };
  } catch (error) {
    if (!(error instanceof MusterError)) return { outcome: 'failed', fault: error };
    await recordFailure(work, mailbox, [deviceId], error);
    // What may pass is tried again; the rest waits for an administrator, who sees it.
    return { outcome: error.code, ...(error.retryable ? { fault: error } : {}) };
  }
};

const sameVerdict = (one: DeviceState, other: DeviceState): boolean =>
  mailVerdict(one).access === mailVerdict(other).access && one.userEmail === other.userEmail;

/** Times that a verdict may change while it is being carried to Exchange. */
const mostPasses = 3;

const carry = async (job: RunningJob<JobData['switch-mail-access']>, parts: Parts) => {
  const { origin, deviceId } = job.data;
  const { tenantId } = origin;
  const device = async () => (await parts.deps.handler.load(deviceDecider, { tenantId, id: deviceId })).state;
  const outcomes: Record<string, string> = {};
  let state: DeviceState | undefined;
  for (let pass = 0; pass < mostPasses; pass += 1) {
    const connections = await connectionsOf(parts, tenantId);
    if (connections.length === 0) return { outcome: 'no-connection' };
    const now = await device();
    // Another job may have carried a newer verdict before this one was done with an older: the newest goes last.
    if (state !== undefined && sameVerdict(state, now)) break;
    const base = {
      parts,
      tenantId,
      dryRun: false,
      job: { queue: 'switch-mail-access', id: `${job.id}.${pass}`, origin },
    } as const;
    const faults: unknown[] = [];
    for (const named of connections) {
      const { outcome, fault } = await switchOne(base, named, deviceId, now, state !== undefined);
      outcomes[named[0]] = outcome;
      if (fault !== undefined) faults.push(fault);
    }
    if (faults.length > 0) throw faults[0];
    state = now;
  }
  return outcomes;
};

/** Makes the job kind. Several events of a device come at once, as at its enrolment: each waits for the one before. */
export const openSwitchMailAccess = (): JobKind<'switch-mail-access'> => {
  const inTurn = openTurns();
  return {
    queue: 'switch-mail-access',
    concurrency: 4,
    run: (job, parts) => inTurn(`${job.data.origin.tenantId}/${job.data.deviceId}`, () => carry(job, parts)),
  };
};
