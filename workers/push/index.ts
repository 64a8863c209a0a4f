/**
 * The registry of push providers: a new one is a file beside this one and its line here. Typed over every name that
 * a device can report, so that none can be forgotten. Called by workers/main.ts.
 */
import type { PushProviderName } from '../../domain/device/device.ts';
import { withBreaker } from './breaker.ts';
import { fcm } from './fcm.ts';
import type { PushOff, PushParts, PushProvider, PushProviderEntry } from './provider.ts';

/** A provider that this version of Muster does not include. */
const notIncluded = (name: PushProviderName, title: string): PushProviderEntry => ({
  name,
  open: async () => ({ off: `${title} is not part of this version; these devices sync by interval` }),
});

/** How each provider is opened. */
export const pushProviders: Readonly<Record<PushProviderName, PushProviderEntry>> = {
  fcm,
  apns: notIncluded('apns', 'Apple Push Notification service'),
  wns: notIncluded('wns', 'Windows Push Notification Services'),
};

/** The opened providers of this installation. */
export interface PushServices {
  /** The provider of that name, or why it is off. */
  of(name: PushProviderName): PushProvider | PushOff;
  close(): Promise<void>;
}

/** Opens every provider that is configured, each behind a breaker. Throws `config-invalid` on wrong settings. */
export const openPushServices = async (parts: PushParts): Promise<PushServices> => {
  const opened = new Map<PushProviderName, PushProvider | PushOff>();
  const close = async () => {
    for (const service of opened.values()) if (!('off' in service)) await service.close();
  };
  try {
    for (const entry of Object.values(pushProviders)) {
      const service = await entry.open(parts);
      opened.set(entry.name, 'off' in service ? service : withBreaker(service, parts.clock));
      if ('off' in service) parts.log.info({ provider: entry.name, reason: service.off }, 'push is off');
    }
  } catch (error) {
    await close();
    throw error;
  }
  return { of: (name) => opened.get(name) as PushProvider | PushOff, close };
};
