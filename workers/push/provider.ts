/**
 * The contract of a push provider: wakes a device so that it syncs. Implemented by <provider>.ts, listed in index.ts,
 * called by workers/wake-device.ts. test/workers/push.test.ts runs one suite over every listed provider.
 */
import type { PushAddress, PushProviderName } from '../../domain/device/device.ts';
import type { Clock } from '../../platform/clock.ts';
import type { ServerConfig } from '../../platform/config.ts';
import type { Logger } from '../../platform/log.ts';

/** What a wake says: nothing but "sync now". It carries no data of the tenant, since push services can read it. */
export interface WakeMessage {
  /** Wakes with the same key replace each other while the device is out of reach. */
  readonly collapseKey: string;
  /** How long the push service keeps the wake for a device that is out of reach. */
  readonly ttlSeconds: number;
}

/** An open connection to one push service. */
export interface PushProvider {
  /**
   * Hands one wake to the push service and answers its id there. Faults: `push-token-dead` (the device must report a
   * new token), `push-rejected` (repeating will not help), `push-unavailable` (with `retryAfterMs` when the service
   * named a time).
   */
  send(push: PushAddress, message: WakeMessage): Promise<{ readonly messageId: string }>;
  /** Ends the connections. */
  close(): Promise<void>;
}

/** What a provider is opened with. */
export interface PushParts {
  readonly config: Pick<ServerConfig, 'fcmServiceAccountFile' | 'fcmEndpoint'>;
  readonly clock: Clock;
  readonly log: Logger;
}

/** A provider that is not used by this installation, and why: shown at start and on each wake it would have sent. */
export interface PushOff {
  readonly off: string;
}

/** One line of the registry. `open` throws `config-invalid` when the settings are there but wrong. */
export interface PushProviderEntry {
  readonly name: PushProviderName;
  readonly open: (parts: PushParts) => Promise<PushProvider | PushOff>;
}
