/**
 * Mail access at Exchange, whichever kind it is: what a mailbox lets in, and switching it. Lists are only added to
 * and taken from, never replaced: administrators keep entries of their own there. Called by reconcile.ts.
 */
import {
  type AccessLevel,
  accessLevel,
  type ExchangeSettings,
  type MailApp,
  partnershipId,
} from '../../domain/exchange/exchange.ts';
import type { ListChanges, MailboxAccess, Partnership } from '../../domain/exchange/plan.ts';
import type { TenantId } from '../../domain/ids.ts';
import type { Clock } from '../../platform/clock.ts';
import { MusterError } from '../../platform/errors.ts';
import type { Cmdlets, ListChange, Row } from './cmdlets.ts';
import { openOnPremises } from './on-premises.ts';
import { openOnline } from './online.ts';
import type { Pauses } from './pauses.ts';

export interface MailAccessController {
  /** Throws `mailbox-missing`. */
  readMailbox(mailbox: string): Promise<MailboxAccess>;
  /** When each partnership of a mailbox last synced, by its id in upper case. */
  readLastSyncs(mailbox: string): Promise<ReadonlyMap<string, string>>;
  switchAccess(mailbox: string, changes: ListChanges): Promise<void>;
  switchEws(mailbox: string, enabled: boolean): Promise<void>;
  /** What Exchange does with a device that nobody said anything about. */
  readDefaultAccessLevel(): Promise<AccessLevel>;
  /** Apps that the organisation's device access rules bar. */
  readBarredApps(): Promise<readonly MailApp[]>;
  barApp(app: MailApp): Promise<void>;
  close(): Promise<void>;
}

const text = (row: Row, name: string): string => {
  const value = row[name];
  return typeof value === 'string' ? value : '';
};

/** A list is an array, a single entry, or nothing; what cannot be the id of a partnership is left out. */
const listIn = (row: Row, name: string): string[] => {
  const value = row[name];
  const entries = Array.isArray(value) ? value : [value];
  return entries.filter((entry): entry is string => partnershipId.safeParse(entry).success);
};

const partnershipOf = (row: Row): Partnership[] => {
  const id = text(row, 'DeviceId');
  return partnershipId.safeParse(id).success
    ? [
        {
          partnershipId: id,
          deviceType: text(row, 'DeviceType').slice(0, 200),
          userAgent: text(row, 'DeviceUserAgent').slice(0, 200),
          deviceOs: text(row, 'DeviceOS').slice(0, 200),
          accessState: text(row, 'DeviceAccessState').slice(0, 40),
        },
      ]
    : [];
};

/** One id at a time: that is the form of the hash table that both kinds are known to take. */
const steps = ({ allow, block }: ListChanges): { allow: ListChange; block: ListChange }[] => {
  const count = Math.max(allow.add.length, allow.remove.length, block.add.length, block.remove.length);
  return Array.from({ length: count }, (_, at) => ({
    allow: { add: allow.add[at], remove: allow.remove[at] },
    block: { add: block.add[at], remove: block.remove[at] },
  }));
};

const given = (name: string, change: ListChange) =>
  change.add === undefined && change.remove === undefined ? {} : { [name]: change };

/** The controller over cmdlets of either kind. */
export const controllerOver = (cmdlets: Cmdlets): MailAccessController => ({
  async readMailbox(mailbox) {
    const [row] = await cmdlets.invoke('Get-CASMailbox', { Identity: mailbox });
    if (!row) throw new MusterError('mailbox-missing', mailbox);
    const devices = await cmdlets.invoke('Get-MobileDevice', { Mailbox: mailbox });
    return {
      allowed: listIn(row, 'ActiveSyncAllowedDeviceIDs'),
      blocked: listIn(row, 'ActiveSyncBlockedDeviceIDs'),
      ewsEnabled: row['EwsEnabled'] !== false,
      partnerships: devices.flatMap(partnershipOf),
    };
  },
  async readLastSyncs(mailbox) {
    const rows = await cmdlets.invoke('Get-MobileDeviceStatistics', { Mailbox: mailbox });
    return new Map(
      rows.map((row) => [text(row, 'DeviceId').toUpperCase(), text(row, 'LastSuccessSync').slice(0, 40)]),
    );
  },
  async switchAccess(mailbox, changes) {
    for (const { allow, block } of steps(changes))
      await cmdlets.invoke('Set-CASMailbox', {
        Identity: mailbox,
        ...given('ActiveSyncAllowedDeviceIDs', allow),
        ...given('ActiveSyncBlockedDeviceIDs', block),
      });
  },
  async switchEws(mailbox, enabled) {
    await cmdlets.invoke('Set-CASMailbox', { Identity: mailbox, EwsEnabled: enabled });
  },
  async readDefaultAccessLevel() {
    const [row] = await cmdlets.invoke('Get-ActiveSyncOrganizationSettings', {});
    const level = accessLevel.safeParse(row?.['DefaultAccessLevel']);
    if (!level.success) throw new MusterError('exchange-unavailable', 'no default access level is told');
    return level.data;
  },
  async readBarredApps() {
    const rows = await cmdlets.invoke('Get-ActiveSyncDeviceAccessRule', {});
    return rows.flatMap((row) => {
      const characteristic = text(row, 'Characteristic');
      const known = characteristic === 'DeviceType' || characteristic === 'UserAgent';
      return known && text(row, 'AccessLevel') === 'Block'
        ? [{ characteristic, query: text(row, 'QueryString') }]
        : [];
    });
  },
  async barApp({ characteristic, query }) {
    await cmdlets.invoke('New-ActiveSyncDeviceAccessRule', {
      QueryString: query,
      Characteristic: characteristic,
      AccessLevel: 'Block',
    });
  },
  close: () => cmdlets.close(),
});

/** Opens the Exchange of a connection; a rest that it asked of one job of the tenant is kept by all. */
export const openController = async (
  settings: ExchangeSettings,
  secret: string,
  parts: {
    readonly allowLoopback: boolean;
    readonly clock: Clock;
    readonly pauses: Pauses;
    readonly tenantId: TenantId;
  },
): Promise<MailAccessController> =>
  controllerOver(
    parts.pauses.over(
      `${parts.tenantId}/${settings.host}`,
      settings.kind === 'online'
        ? await openOnline(settings, secret, parts)
        : await openOnPremises(settings, secret, parts),
    ),
  );
