/**
 * Job: settles seats that disagree with the enrolment of their device. One that was taken for an enrolment that never
 * happened, because its request was cut short, is given back; a device that is enrolled without one, as by a Muster that
 * knew no seats, is counted. Runs by schedule, in one process at a time, for all tenants together.
 */

import { deviceDecider } from '../domain/device/decide.ts';
import type { TenantId } from '../domain/ids.ts';
import { isRefusal } from '../domain/refusals.ts';
import { abandonedAfterMs, type SeatCommand, seatDecider } from '../domain/seat/decide.ts';
import { findIn } from '../domain/shards.ts';
import { isoTime } from '../platform/clock.ts';
import type { Deps } from '../platform/deps.ts';
import { listUnsettledSeats, type UnsettledSeatRow } from '../projections/licence.ts';
import { causeOf } from './cause.ts';
import { eachOf } from './in-turn.ts';
import type { JobKind } from './jobs.ts';
import { untilProjected } from './pages.ts';

const pageSize = 500;
/** Seats of one tenant are settled one after another anyway. */
const seatsAtOnce = 8;

/** The command that settles a seat; undefined when there is nothing to settle. */
const settling = async (
  { handler }: Pick<Deps, 'handler'>,
  tenantId: TenantId,
  deviceId: UnsettledSeatRow['deviceId'],
  now: string,
): Promise<SeatCommand | undefined> => {
  const { state: device } = await handler.load(deviceDecider, { tenantId, id: deviceId });
  if (device.status === 'enrolled' && device.enrolmentId !== null) {
    const { userEmail, enrolmentId } = device;
    return { type: 'TakeSeat', now, deviceId, userEmail, enrolmentId, allotted: null };
  }
  const { state: seats } = await handler.load(seatDecider, { tenantId, id: tenantId });
  const seat = findIn(seats.devices, deviceId);
  return seat && { type: 'AbandonSeat', now, deviceId, enrolmentId: seat.enrolmentId };
};

export const reviewSeats: JobKind<'review-seats'> = {
  queue: 'review-seats',
  concurrency: 1,
  async run(job, parts) {
    const { deps } = parts;
    const before = isoTime(deps.clock() - abandonedAfterMs);
    const reviewed = new Set<string>();
    let changed = 0;
    for (;;) {
      parts.stopping.throwIfAborted();
      const found = await listUnsettledSeats(deps.sql, before, pageSize);
      const fresh = found.filter(({ deviceId }) => !reviewed.has(deviceId));
      let position: bigint | undefined;
      await eachOf(fresh, seatsAtOnce, async ({ tenantId, deviceId }) => {
        reviewed.add(deviceId);
        const command = await settling(deps, tenantId, deviceId, isoTime(deps.clock()));
        if (!command) return;
        const cause = causeOf('review-seats', `${job.id}.${deviceId}`);
        const handled = await deps.handler.handle(seatDecider, { tenantId, id: tenantId }, command, cause);
        if (isRefusal(handled) || handled.position === undefined) return;
        changed += 1;
        if (position === undefined || handled.position > position) position = handled.position;
      });
      if (found.length < pageSize || position === undefined) return { reviewed: reviewed.size, changed };
      await untilProjected(parts, position);
    }
  },
};
