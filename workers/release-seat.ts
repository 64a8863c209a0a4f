/**
 * Job: gives back the seat of a device that was unenrolled. Queued by react.ts. Repeated, or after the device was
 * enrolled again, it changes nothing: a seat belongs to one enrolment.
 */
import { deviceDecider } from '../domain/device/decide.ts';
import { isRefusal } from '../domain/refusals.ts';
import { seatDecider } from '../domain/seat/decide.ts';
import { causeOf } from './cause.ts';
import { refusedJob } from './errors.ts';
import type { JobKind } from './jobs.ts';

export const releaseSeat: JobKind<'release-seat'> = {
  queue: 'release-seat',
  async run(job, { deps }) {
    const { origin, deviceId } = job.data;
    const { tenantId } = origin;
    const { state } = await deps.handler.load(deviceDecider, { tenantId, id: deviceId });
    if (state.status !== 'unenrolled' || state.enrolmentId === null) return { outcome: 'enrolled-again' };
    const handled = await deps.handler.handle(
      seatDecider,
      { tenantId, id: tenantId },
      { type: 'ReleaseSeat', deviceId, enrolmentId: state.enrolmentId },
      causeOf('release-seat', job.id, origin),
    );
    if (isRefusal(handled)) throw refusedJob(handled);
    return { outcome: handled.events.length > 0 ? 'released' : 'released-already' };
  },
};
