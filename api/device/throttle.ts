/**
 * Slows down guessing: counts failures per remote address within a bounded memory. Called by enrol.ts.
 */
import { isIPv6 } from 'node:net';
import { LRUCache } from 'lru-cache';
import type { Clock } from '../../platform/clock.ts';

/** At most `failures` of them per `windowMs` and address; `addresses` are remembered at once. */
export const throttleLimits = { failures: 20, windowMs: 600_000, addresses: 10_000 } as const;

/** The part of an address that one party holds: all of an IPv4 address, the /64 of an IPv6 one (RFC 6177). */
export const partyOf = (address: string): string => {
  if (!isIPv6(address)) return address;
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  if (mapped) return mapped;
  const [head = '', tail = ''] = address.split('%')[0]?.split('::') ?? [];
  const [left, right] = [head, tail].map((half) => half.split(':').filter(Boolean)) as [string[], string[]];
  const zeros = Array<string>(Math.max(0, 8 - left.length - right.length)).fill('0');
  return [...left, ...zeros, ...right].slice(0, 4).join(':').toLowerCase();
};

export interface Throttle {
  /** ms until the address may try again; 0 when it may try now. */
  waitMs(address: string): number;
  /** Counts a failure. */
  fail(address: string): void;
}

/** Makes a throttle. The oldest address is forgotten when there are too many. */
export const openThrottle = (clock: Clock, limits: typeof throttleLimits = throttleLimits): Throttle => {
  const windows = new LRUCache<string, { failures: number; endsAt: number }>({ max: limits.addresses });
  return {
    waitMs(address) {
      const window = windows.get(partyOf(address));
      if (!window || window.failures < limits.failures) return 0;
      return Math.max(0, window.endsAt - clock());
    },
    fail(address) {
      const party = partyOf(address);
      const window = windows.get(party);
      if (window && window.endsAt > clock()) window.failures += 1;
      else windows.set(party, { failures: 1, endsAt: clock() + limits.windowMs });
    },
  };
};
