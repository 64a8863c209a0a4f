/**
 * What Muster wants of the mailboxes of a tenant: the devices of each person with their verdicts, from the read
 * model. Called by the jobs that switch access.
 */
import type { WantedDevice } from '../../domain/exchange/plan.ts';
import type { TenantId } from '../../domain/ids.ts';
import { type DeviceRow, listDevices } from '../../projections/devices.ts';
import type { Parts } from '../jobs.ts';
import { everyPage } from '../pages.ts';

export interface Wanted {
  readonly byMailbox: ReadonlyMap<string, readonly WantedDevice[]>;
  /** Whether an id is that of a device of somebody else. */
  elsewhere(mailbox: string): (partnershipId: string) => boolean;
}

const wantedOf = (row: DeviceRow): WantedDevice => ({
  deviceId: row.deviceId,
  partnershipId: row.inventory.easDeviceId ?? null,
  platform: row.platform,
  enrolled: row.status === 'enrolled',
  access: row.mailVerdict,
  reason: row.mailReason,
});

/** Reads every device of the tenant; `bound` are the ids that were found out, by device id. */
export const readWanted = async (
  parts: Parts,
  tenantId: TenantId,
  bound: Readonly<Record<string, string>>,
): Promise<Wanted> => {
  const byMailbox = new Map<string, WantedDevice[]>();
  const owners = new Map<string, Set<string>>();
  const pages = everyPage(parts, (at) => listDevices(parts.deps.sql, tenantId, {}, at));
  for await (const rows of pages)
    for (const row of rows) {
      const wanted = wantedOf(row);
      const id = (wanted.partnershipId ?? bound[row.deviceId])?.toUpperCase();
      if (id !== undefined)
        owners.set(id, (owners.get(id) ?? new Set()).add(row.userEmail?.toLowerCase() ?? ''));
      if (row.userEmail === null || row.status === 'registered') continue;
      const mailbox = row.userEmail.toLowerCase();
      byMailbox.set(mailbox, [...(byMailbox.get(mailbox) ?? []), wanted]);
    }
  return {
    byMailbox,
    elsewhere: (mailbox) => (partnershipId) => {
      const who = owners.get(partnershipId.toUpperCase());
      return who !== undefined && !who.has(mailbox);
    },
  };
};
