/**
 * Job: after a compliance policy was revised or assigned, reviews the devices that it concerns. Queued by react.ts.
 */
import type { TenantId } from '../domain/ids.ts';
import type { Sql } from '../platform/sql.ts';
import {
  type DeviceRow,
  listDevicesOfCompliancePolicy,
  listEnrolledDevices,
  listGroupDevices,
} from '../projections/devices.ts';
import type { Page, PageRequest } from '../projections/page.ts';
import { causeOf } from './cause.ts';
import { eachOf } from './in-turn.ts';
import type { JobKind, ReviewScope } from './jobs.ts';
import { everyPage, untilProjected } from './pages.ts';
import { reviewDevice, reviewsAtOnce } from './review.ts';

const listScope = (
  sql: Sql,
  tenantId: TenantId,
  scope: ReviewScope,
  page: PageRequest,
): Promise<Page<Pick<DeviceRow, 'deviceId'>>> => {
  switch (scope.kind) {
    case 'tenant':
      return listEnrolledDevices(sql, tenantId, page);
    case 'group':
      return listGroupDevices(sql, tenantId, scope.groupId, page);
    case 'compliance-policy':
      return listDevicesOfCompliancePolicy(sql, tenantId, scope.compliancePolicyId, page);
  }
};

export const reviewFleet: JobKind<'review-fleet'> = {
  queue: 'review-fleet',
  concurrency: 2,
  async run(job, parts) {
    const { origin, scope } = job.data;
    const { tenantId } = origin;
    await untilProjected(parts, BigInt(origin.position));
    const counts = { reviewed: 0, changed: 0 };
    const pages = everyPage(parts, (page) => listScope(parts.deps.sql, tenantId, scope, page));
    for await (const rows of pages) {
      await eachOf(rows, reviewsAtOnce, async ({ deviceId }) => {
        const cause = causeOf('review-fleet', `${job.id}.${deviceId}`, origin);
        const reached = await reviewDevice(parts, { tenantId, deviceId }, cause);
        counts.reviewed += 1;
        if (reached !== undefined) counts.changed += 1;
      });
      await job.progress(counts);
    }
    return counts;
  },
};
