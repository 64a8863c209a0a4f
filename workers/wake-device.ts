/**
 * Job: wakes a device by push so that it syncs, and records that it did. Queued by react.ts for each task and policy
 * that a device receives, and by wake-policy-devices.ts.
 *
 * A wake tells a device of everything up to the revision it was loaded at, and says so: jobs for events up to there
 * send nothing more. So the tasks of one transfer cost one push, and an event after it always gets its own.
 */
import { deviceDecider } from '../domain/device/decide.ts';
import type { DeviceState, PushAddress } from '../domain/device/device.ts';
import type { TenantId } from '../domain/ids.ts';
import { policyDecider } from '../domain/policy/decide.ts';
import { composeTasks } from '../domain/task-bundle/compose.ts';
import { isoTime } from '../platform/clock.ts';
import { MusterError } from '../platform/errors.ts';
import type { Handler } from '../platform/handle.ts';
import { causeOf } from './cause.ts';
import { openTurns } from './in-turn.ts';
import type { JobData, JobKind, Parts, RunningJob, SentWake } from './jobs.ts';
import type { PushProvider, WakeMessage } from './push/provider.ts';

/** All wakes of a device are one and the same: the newest replaces those that still wait for it. */
const message: WakeMessage = { collapseKey: 'wake', ttlSeconds: 86_400 };

/** What became of the job, kept with it. */
export type WakeOutcome =
  | 'woken'
  | 'woken-already'
  | 'not-enrolled'
  | 'nothing-waiting'
  | 'no-push-address'
  | 'push-off'
  | 'push-token-dead';

type WakeJob = RunningJob<JobData['wake-device']>;

const policyWaits = async (handler: Handler, tenantId: TenantId, state: DeviceState): Promise<boolean> => {
  for (const { policyId, appliedVersion } of Object.values(state.policies)) {
    const { state: policy } = await handler.load(policyDecider, { tenantId, id: policyId });
    if (policy.status !== 'none' && policy.version !== appliedVersion) return true;
  }
  return false;
};

/** True when the device's next sync would bring it something: a task to send, or a policy version it lacks. */
const somethingWaits = async ({ deps }: Parts, tenantId: TenantId, state: DeviceState): Promise<boolean> =>
  composeTasks(state.openTasks, isoTime(deps.clock())).some((task) => task.state === 'queued') ||
  policyWaits(deps.handler, tenantId, state);

const recordWake = async (
  job: WakeJob,
  { deps }: Parts,
  push: PushAddress,
  sent: SentWake,
): Promise<void> => {
  const { origin, deviceId } = job.data;
  await deps.handler.handle(
    deviceDecider,
    { tenantId: origin.tenantId, id: deviceId },
    { type: 'RecordWake', provider: push.provider, ...sent },
    causeOf('wake-device', job.id, origin),
  );
};

const recordDeadToken = async (
  job: WakeJob,
  { deps }: Parts,
  { provider, token }: PushAddress,
  reason: string,
): Promise<WakeOutcome> => {
  const { origin, deviceId } = job.data;
  await deps.handler.handle(
    deviceDecider,
    { tenantId: origin.tenantId, id: deviceId },
    { type: 'RecordPushTokenDead', provider, token, reason: reason.slice(0, 200) },
    causeOf('wake-device', job.id, origin),
  );
  deps.log.info({ tenantId: origin.tenantId, deviceId, provider, reason }, 'push token is dead');
  return 'push-token-dead';
};

const send = async (
  job: WakeJob,
  parts: Parts,
  service: PushProvider,
  push: PushAddress,
  revision: bigint,
): Promise<WakeOutcome> => {
  let sent = job.data.sent;
  if (!sent) {
    try {
      sent = { ...(await service.send(push, message)), throughRevision: Number(revision) };
    } catch (error) {
      if (!(error instanceof MusterError) || error.code !== 'push-token-dead') throw error;
      return recordDeadToken(job, parts, push, error.message);
    }
  }
  try {
    await recordWake(job, parts, push, sent);
  } catch (error) {
    // The next attempt records this push instead of sending another one.
    await job.keep({ ...job.data, sent });
    throw error;
  }
  return 'woken';
};

const wake = async (job: WakeJob, parts: Parts): Promise<WakeOutcome> => {
  const { origin, deviceId, revision: wanted } = job.data;
  const { tenantId } = origin;
  const { state, revision } = await parts.deps.handler.load(deviceDecider, { tenantId, id: deviceId });
  if (state.status !== 'enrolled') return 'not-enrolled';
  if (wanted !== null && state.lastWake && state.lastWake.throughRevision >= wanted) return 'woken-already';
  if (!state.push) return 'no-push-address';
  const service = parts.push.of(state.push.provider);
  if ('off' in service) return 'push-off';
  if (!job.data.sent && !(await somethingWaits(parts, tenantId, state))) return 'nothing-waiting';
  return send(job, parts, service, state.push, revision);
};

/** Makes the kind of job; wakes of one device run one after another within this process. */
export const openWakeDevice = (): JobKind<'wake-device'> => {
  const inTurn = openTurns();
  return {
    queue: 'wake-device',
    run: (job, parts) =>
      inTurn(`${job.data.origin.tenantId}/${job.data.deviceId}`, async () => ({
        outcome: await wake(job, parts),
      })),
  };
};
