/**
 * What a policy can set on a device, section by section; a section that is absent leaves the device alone.
 * Called by the facts of a policy and by the edges that validate input and describe the device protocol.
 */
import { z } from 'zod';
import { line } from '../text.ts';

const passcode = z.strictObject({
  required: z.boolean(),
  /** Characters. */
  minimumLength: z.int().min(4).max(64).optional(),
  alphanumeric: z.boolean().optional(),
  /** Minutes of inactivity until the screen locks. */
  lockAfterMinutes: z.int().min(1).max(1440).optional(),
  /** Wrong attempts until the device wipes itself. */
  wipeAfterAttempts: z.int().min(4).max(50).optional(),
  /** Days until the passcode must change. */
  maximumAgeDays: z.int().min(1).max(730).optional(),
  /** Earlier passcodes that may not be used again. */
  history: z.int().min(1).max(50).optional(),
});

const restrictions = z.strictObject({
  camera: z.boolean().optional(),
  screenCapture: z.boolean().optional(),
  unknownSources: z.boolean().optional(),
  usbDebugging: z.boolean().optional(),
  factoryReset: z.boolean().optional(),
  cloudBackup: z.boolean().optional(),
  dataRoaming: z.boolean().optional(),
});

const wifi = z.strictObject({
  ssid: line(32),
  security: z.enum(['open', 'wpa2-personal', 'wpa3-personal', 'enterprise']),
  hidden: z.boolean().optional(),
  autoJoin: z.boolean().optional(),
});

const mail = z.strictObject({
  /** Host of the EAS proxy that the device is to use as incoming and outgoing server. */
  host: line(253),
  domain: line(120).optional(),
  /** Days of mail kept on the device; 0 keeps all. */
  syncDays: z.int().min(0).max(180).optional(),
});

/** Settings of a policy. At least one section. */
export const policySettings = z
  .strictObject({
    passcode: passcode.optional(),
    restrictions: restrictions.optional(),
    wifi: z.array(wifi).max(50).optional(),
    mail: mail.optional(),
  })
  .refine(
    (settings) => Object.values(settings).some((section) => section !== undefined),
    'at least one section is needed',
  );

export type PolicySettings = z.infer<typeof policySettings>;
