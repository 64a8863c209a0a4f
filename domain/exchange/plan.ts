/**
 * What is to be switched for one mailbox, given what Muster wants and what Exchange has. Pure; called by
 * workers/exchange/reconcile.ts, which carries it out, or only says so in a dry run.
 */
import type { DeviceId } from '../ids.ts';
import type { MailApp } from './exchange.ts';

/** A device of the person, as Muster wants it. */
export interface WantedDevice {
  readonly deviceId: DeviceId;
  /** null: not known yet. */
  readonly partnershipId: string | null;
  /** Of the device's model family, to tell which unknown partnership may be its own. */
  readonly platform: string;
  readonly enrolled: boolean;
  readonly access: 'allow' | 'deny';
  readonly reason: string;
}

/** A partnership in a mailbox (`Get-MobileDevice`). */
export interface Partnership {
  readonly partnershipId: string;
  readonly deviceType: string;
  readonly userAgent: string;
  readonly deviceOs: string;
  readonly accessState: string;
}

/** A mailbox as Exchange has it (`Get-CASMailbox`). */
export interface MailboxAccess {
  readonly allowed: readonly string[];
  readonly blocked: readonly string[];
  readonly ewsEnabled: boolean;
  readonly partnerships: readonly Partnership[];
}

export interface PlanRules {
  readonly containerApps: readonly MailApp[] | null;
  readonly bindUnknown: boolean;
  readonly ewsFollowsMail: boolean;
}

/** What has become of one device: to be recorded once Exchange has it so. */
export interface Decided {
  readonly deviceId: DeviceId;
  readonly partnershipId: string;
  readonly access: 'allow' | 'block';
  readonly reason: string;
  /** Whether Exchange has it otherwise now. */
  readonly drifted: boolean;
}

/** Additions to and removals from a mailbox's lists: never whole lists, which others write to as well. */
export interface ListChanges {
  readonly allow: { readonly add: readonly string[]; readonly remove: readonly string[] };
  readonly block: { readonly add: readonly string[]; readonly remove: readonly string[] };
}

export interface MailboxPlan {
  readonly bound: readonly { readonly deviceId: DeviceId; readonly partnershipId: string }[];
  readonly devices: readonly Decided[];
  readonly lists: ListChanges;
  /** Ids of this tenant's devices that have no business in the mailbox any more. */
  readonly forgotten: readonly string[];
  /** null: stays as it is. */
  readonly ews: boolean | null;
  readonly strangers: readonly Partnership[];
}

const keyOf = (id: string): string => id.toUpperCase();
const has = (list: readonly string[], id: string): boolean => list.some((one) => keyOf(one) === keyOf(id));
/** The list's own spellings of an id: Exchange takes out only what is spelled as it stands there. */
const spelled = (list: readonly string[], id: string): string[] =>
  list.filter((one) => keyOf(one) === keyOf(id));

const marks: Readonly<Record<string, RegExp>> = {
  ios: /iphone|ipad|ipod|\bios\b/i,
  android: /android|samsung|^sec/i,
  windows: /windows|wp8/i,
  macos: /\bmac/i,
};

const isOf = (platform: string, { deviceType, deviceOs, userAgent }: Partnership): boolean =>
  [deviceType, deviceOs, userAgent].some((text) => marks[platform]?.test(text) ?? false);

const isContainer = (apps: readonly MailApp[], { deviceType, userAgent }: Partnership): boolean =>
  apps.some(({ characteristic, query }) =>
    characteristic === 'DeviceType' ? deviceType === query : userAgent === query,
  );

/** Binds only where there is no doubt: one unknown partnership, one enrolled device of its platform without an id. */
const bindOf = (wanted: readonly WantedDevice[], unknown: readonly Partnership[], rules: PlanRules) => {
  if (!rules.bindUnknown) return [];
  const nameless = wanted.filter(({ partnershipId, enrolled }) => enrolled && partnershipId === null);
  return nameless.flatMap(({ deviceId, platform }) => {
    const fitting = unknown.filter((partnership) => isOf(platform, partnership));
    const rivals = nameless.filter((other) => other.platform === platform);
    const [only] = fitting;
    return only && fitting.length === 1 && rivals.length === 1
      ? [{ deviceId, partnershipId: only.partnershipId }]
      : [];
  });
};

const judge = (
  device: WantedDevice,
  partnershipId: string,
  mailbox: MailboxAccess,
  { containerApps }: PlanRules,
): Decided => {
  const partnership = mailbox.partnerships.find((one) => keyOf(one.partnershipId) === keyOf(partnershipId));
  const outside =
    device.access === 'allow' &&
    containerApps !== null &&
    (partnership === undefined || !isContainer(containerApps, partnership));
  const access = device.access === 'allow' && !outside ? 'allow' : 'block';
  const [here, there] =
    access === 'allow' ? ['allowed' as const, 'blocked' as const] : ['blocked' as const, 'allowed' as const];
  return {
    deviceId: device.deviceId,
    partnershipId,
    access,
    reason: outside ? 'Only the container app may be used for mail.' : device.reason,
    drifted: !has(mailbox[here], partnershipId) || has(mailbox[there], partnershipId),
  };
};

/**
 * Plans one mailbox. `wanted` are the devices of its person; `elsewhere` tells whether an id belongs to another
 * device of the tenant, whose place in this mailbox ends.
 */
export const planMailbox = (
  wanted: readonly WantedDevice[],
  mailbox: MailboxAccess,
  rules: PlanRules,
  elsewhere: (partnershipId: string) => boolean,
): MailboxPlan => {
  const known = new Set(wanted.flatMap(({ partnershipId }) => (partnershipId ? [keyOf(partnershipId)] : [])));
  const unknown = mailbox.partnerships.filter(
    ({ partnershipId }) => !known.has(keyOf(partnershipId)) && !elsewhere(partnershipId),
  );
  const bound = bindOf(wanted, unknown, rules);
  const idOf = (device: WantedDevice) =>
    device.partnershipId ?? bound.find(({ deviceId }) => deviceId === device.deviceId)?.partnershipId ?? null;
  const byId = new Map<string, Decided>();
  for (const device of wanted) {
    const id = idOf(device);
    if (id === null) continue;
    const decided = judge(device, id, mailbox, rules);
    const rival = byId.get(keyOf(id));
    // Enrolled again under a new id: the device as it is now counts, not the one that left.
    if (!rival || device.enrolled) byId.set(keyOf(id), decided);
  }
  const devices = [...byId.values()];
  const drifted = devices.filter((device) => device.drifted);
  const ids = (access: 'allow' | 'block') =>
    drifted.filter((device) => device.access === access).map(({ partnershipId }) => partnershipId);
  const forgotten = mailbox.allowed.filter((id) => !byId.has(keyOf(id)) && elsewhere(id));
  const open = devices.some(({ access }) => access === 'allow');
  return {
    bound,
    devices,
    lists: {
      allow: {
        add: ids('allow').filter((id) => !has(mailbox.allowed, id)),
        remove: [...ids('block').flatMap((id) => spelled(mailbox.allowed, id)), ...forgotten],
      },
      block: {
        add: ids('block').filter((id) => !has(mailbox.blocked, id)),
        remove: ids('allow').flatMap((id) => spelled(mailbox.blocked, id)),
      },
    },
    forgotten,
    ews: rules.ewsFollowsMail && open !== mailbox.ewsEnabled ? open : null,
    strangers: unknown.filter(
      ({ partnershipId }) => !bound.some((one) => one.partnershipId === partnershipId),
    ),
  };
};

/** Whether carrying out the plan would change anything in Exchange. */
export const changesNothing = ({ lists: { allow, block }, ews }: MailboxPlan): boolean =>
  ews === null && [allow.add, allow.remove, block.add, block.remove].every((list) => list.length === 0);
