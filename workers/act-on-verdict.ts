/**
 * Job: carries out the compliance action `transfer-task-bundle`, once for each episode of a violation. Queued by
 * react.ts for each verdict that demands it; a verdict that repeats the violation makes the same transfer, which the
 * device and the bundle know.
 */
import { deviceDecider } from '../domain/device/decide.ts';
import { isRefusal } from '../domain/refusals.ts';
import { taskBundleDecider } from '../domain/task-bundle/decide.ts';
import { tenantDecider } from '../domain/tenant/decide.ts';
import { standingFault, standingOf } from '../domain/tenant/standing.ts';
import { isoTime } from '../platform/clock.ts';
import { causeOf } from './cause.ts';
import { refusedJob } from './errors.ts';
import type { JobKind } from './jobs.ts';

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
