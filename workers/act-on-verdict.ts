/**
 * Job: carries out the compliance action `transfer-task-bundle`, once for each episode of a violation. Queued by
 * react.ts for each verdict that demands it; a verdict that repeats the violation makes the same transfer, which the
 * device and the bundle know.
 */
import { deviceDecider } from '../domain/device/decide.ts';
import type { TaskBundleId, TenantId } from '../domain/ids.ts';
import { licenceDecider } from '../domain/licence/decide.ts';
import { mayQueueTasks } from '../domain/licence/entitlement.ts';
import { isRefusal } from '../domain/refusals.ts';
import { safeguardDecider } from '../domain/safeguard/decide.ts';
import { hourMs } from '../domain/safeguard/safeguard.ts';
import { taskBundleDecider } from '../domain/task-bundle/decide.ts';
import { type Task, taskTypeOf } from '../domain/task-bundle/tasks/index.ts';
import { tenantDecider } from '../domain/tenant/decide.ts';
import { standingFault, standingOf } from '../domain/tenant/standing.ts';
import { isoTime } from '../platform/clock.ts';
import type { Deps } from '../platform/deps.ts';
import { derivedId } from '../platform/derived-id.ts';
import { MusterError } from '../platform/errors.ts';
import { theLicence } from '../platform/licence.ts';
import { causeOf } from './cause.ts';
import { refusedJob } from './errors.ts';
import type { JobData, JobKind, RunningJob } from './jobs.ts';

type VerdictJob = RunningJob<JobData['act-on-verdict']>;

const bundleOf = async (
  { handler }: Pick<Deps, 'handler'>,
  tenantId: TenantId,
  id: TaskBundleId,
): Promise<{ readonly tasks: readonly Task[] }> => {
  const { state } = await handler.load(taskBundleDecider, { tenantId, id }, { maxAgeMs: 2000 });
  return state.status === 'none' ? { tasks: [] } : state;
};

/** Goes on while compliance policies may wipe or unenrol another device; else throws `safeguard-reached`. */
const guardDevice = async (deps: Deps, job: VerdictJob): Promise<void> => {
  const { origin, since, transferId } = job.data;
  const { tenantId } = origin;
  const handled = await deps.handler.handle(
    safeguardDecider,
    { tenantId, id: tenantId },
    {
      type: 'TakeAutomaticAct',
      approvalId: derivedId('apr', since, transferId),
      now: isoTime(deps.clock()),
    },
    causeOf('act-on-verdict', `${job.id}.safeguard`, origin),
  );
  if (isRefusal(handled))
    throw new MusterError('safeguard-reached', handled.detail ?? '', { retryAfterMs: hourMs });
};

export const actOnVerdict: JobKind<'act-on-verdict'> = {
  queue: 'act-on-verdict',
  async run(job, { deps }) {
    const { origin, deviceId, rule, since, taskBundleId, transferId } = job.data;
    const { tenantId } = origin;
    const { state } = await deps.handler.load(deviceDecider, { tenantId, id: deviceId });
    if (state.recentTransfers.includes(transferId)) return { outcome: 'transferred-already' };
    // A device that is in order again by now is left alone: the bundle may lock or wipe it.
    const lasts = state.verdict?.violations.some((known) => known.rule === rule && known.since === since);
    if (state.status !== 'enrolled' || !lasts) return { outcome: 'violation-over' };
    const tenant = await deps.handler.load(tenantDecider, { tenantId, id: tenantId });
    const fault = standingFault(standingOf(tenant.state), isoTime(deps.clock()), state.platform);
    if (fault) return { outcome: fault.refused };
    const { tasks } = await bundleOf(deps, tenantId, taskBundleId);
    const { state: licence } = await deps.handler.load(licenceDecider, theLicence, { maxAgeMs: 2000 });
    const unlicensed = mayQueueTasks(licence, tenantId, tasks, isoTime(deps.clock()));
    if (unlicensed) throw refusedJob(unlicensed);
    if (tasks.some(({ type }) => taskTypeOf(type).endsEnrolment)) await guardDevice(deps, job);
    const handled = await deps.handler.handle(
      taskBundleDecider,
      { tenantId, id: taskBundleId },
      { type: 'TransferTaskBundle', transferId, target: { kind: 'device', deviceId } },
      causeOf('act-on-verdict', job.id, origin),
    );
    if (isRefusal(handled)) throw refusedJob(handled);
    return { outcome: handled.events.length > 0 ? 'transferred' : 'transferred-already' };
  },
};
