/**
 * What a device tells about itself: inventory values and installed apps, and how a delta folds into what is known.
 * Called by the device's facts and by the device protocol, which accepts exactly these shapes.
 */
import { z } from 'zod';
import { same } from '../same.ts';
import { line } from '../text.ts';

/** The id that a device presents in ActiveSync (MS-ASHTTP 2.2.1.1.1.2.4). */
export const easDeviceId = z.string().regex(/^[0-9A-Za-z]{1,64}$/, 'must be 1 to 64 letters and digits');

/** Every value a device may report. A key is absent until first reported; null withdraws it. */
export const inventory = z
  .strictObject({
    name: line(120).nullable(),
    manufacturer: line(120).nullable(),
    model: line(120).nullable(),
    serialNumber: line(64).nullable(),
    imei: line(32).nullable(),
    /** Dotted version of the operating system. */
    osVersion: line(40).nullable(),
    /** ISO 8601 date of the Android security patch level. */
    securityPatch: z.iso.date().nullable(),
    /** Version of the agent that syncs. */
    agentVersion: line(40).nullable(),
    easDeviceId: easDeviceId.nullable(),
    /** True when rooted (Android) or jailbroken (Apple). */
    rooted: z.boolean().nullable(),
    /** True when a passcode or password locks the screen. */
    screenLock: z.boolean().nullable(),
    /** True when the storage is encrypted. */
    encrypted: z.boolean().nullable(),
    batteryPercent: z.int().min(0).max(100).nullable(),
    freeStorageBytes: z.int().min(0).nullable(),
    roaming: z.boolean().nullable(),
  })
  .partial();
export type Inventory = z.infer<typeof inventory>;

/** One installed app; `id` is the bundle id or package name. */
export const app = z.strictObject({
  id: z.string().regex(/^[\w.{}~-]{1,200}$/, 'must be a bundle id or package name'),
  name: line(200),
  version: line(60),
});
export type App = z.infer<typeof app>;

/** Apps that changed since the last accepted check-in; `complete: true` says that `installed` is the whole list. */
export const appsDelta = z.strictObject({
  complete: z.boolean().optional(),
  installed: z.array(app).max(2000).optional(),
  removed: z.array(app.shape.id).max(2000).optional(),
});
export type AppsDelta = z.infer<typeof appsDelta>;

/** Installed apps by id. */
export type Apps = Readonly<Record<string, Omit<App, 'id'>>>;

/** The keys of `reported` whose values differ from what is known. */
export const changedInventory = (known: Inventory, reported: Inventory): Inventory =>
  Object.fromEntries(
    Object.entries(reported).filter(
      ([key, value]) => value !== undefined && !same(known[key as keyof Inventory] ?? null, value),
    ),
  );

/** The part of a delta that changes what is known: apps new or changed, and apps gone. */
export const changedApps = (known: Apps, delta: AppsDelta): { installed: App[]; removed: string[] } => {
  const installed = new Map((delta.installed ?? []).map((item) => [item.id, item]));
  const gone = delta.complete ? Object.keys(known).filter((id) => !installed.has(id)) : (delta.removed ?? []);
  return {
    installed: [...installed.values()].filter(
      ({ id, ...rest }) => !same(Object.hasOwn(known, id) ? known[id] : undefined, rest),
    ),
    removed: [...new Set(gone)].filter((id) => Object.hasOwn(known, id) && !installed.has(id)),
  };
};

/** Folds a recorded change of apps into what is known. */
export const applyApps = (
  known: Apps,
  change: { installed: readonly App[]; removed: readonly string[] },
): Apps => {
  const removed = new Set(change.removed);
  return {
    ...Object.fromEntries(Object.entries(known).filter(([id]) => !removed.has(id))),
    ...Object.fromEntries(change.installed.map(({ id, ...rest }) => [id, rest])),
  };
};
