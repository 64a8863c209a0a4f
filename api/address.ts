/**
 * Where callers come from: through balancers that are trusted, within ranges, and as much of an address as is
 * counted together. Called by every edge of api/ that knows accounts.
 */
import type { IncomingMessage } from 'node:http';
import { BlockList, isIP, isIPv4 } from 'node:net';
import { isLoopback } from '../platform/listening.ts';

/** An IPv4 address that a dual-stack socket shows as IPv6, as IPv4; anything else as it is. */
const plain = (address: string): string => {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address.trim())?.[1];
  return mapped ?? address.trim();
};

const compiled = new WeakMap<readonly string[], BlockList>();

const compile = (ranges: readonly string[]): BlockList => {
  const known = compiled.get(ranges);
  if (known) return known;
  const list = new BlockList();
  for (const range of ranges) {
    const [address = '', bits] = range.split('/');
    const family = isIPv4(address) ? 'ipv4' : 'ipv6';
    if (bits === undefined) list.addAddress(address, family);
    else list.addSubnet(address, Number(bits), family);
  }
  compiled.set(ranges, list);
  return list;
};

/** Whether an address is one of `ranges` (addresses or CIDR ranges). */
export const isWithin = (address: string, ranges: readonly string[]): boolean =>
  isIP(address) !== 0 && compile(ranges).check(address, isIPv4(address) ? 'ipv4' : 'ipv6');

/** Whether a portal may be used from an address. No ranges allow everybody; this machine is always allowed. */
export const isAllowed = (address: string, ranges: readonly string[]): boolean =>
  ranges.length === 0 || isLoopback(address) || isWithin(address, ranges);

/**
 * The caller's address: who connects or, through `trusted` balancers, the last address of X-Forwarded-For that is none
 * of theirs. What stands before that is the caller's own claim.
 */
export const addressOf = (
  req: Pick<IncomingMessage, 'headers' | 'socket'>,
  trusted: readonly string[] = [],
): string => {
  const header = req.headers['x-forwarded-for'];
  const forwarded = (Array.isArray(header) ? header.join(',') : (header ?? '')).split(',').map(plain);
  let address = plain(req.socket.remoteAddress ?? 'unknown');
  while (trusted.length > 0 && isWithin(address, trusted)) {
    const before = forwarded.pop();
    if (before === undefined || isIP(before) === 0) break;
    address = before;
  }
  return address;
};

/** The 64-bit network of an IPv6 address, which is what one subscriber has; an IPv4 address as it is. */
export const countedAddress = (address: string): string => {
  if (isIP(address) !== 6) return address;
  const [head = '', tail] = (address.split('%')[0] as string).split('::');
  const left = head === '' ? [] : head.split(':');
  const right = tail === undefined || tail === '' ? [] : tail.split(':');
  const groups =
    tail === undefined ? left : [...left, ...Array(8 - left.length - right.length).fill('0'), ...right];
  const network = groups.slice(0, 4).map((group) => Number.parseInt(group, 16).toString(16));
  return `${network.join(':')}::/64`;
};
