/**
 * Reads the PROXY protocol's header, in which a TCP balancer says whose connection it passes on. Called by
 * client-address.ts with the first bytes of a connection; pure.
 *
 * Strict: what the specification lets a receiver refuse is refused, since a header that is guessed at is a forged address.
 * Source: HAProxy, "The PROXY protocol", versions 1 and 2 (proxy-protocol.txt, sections 2.1 and 2.2).
 */
import { isIPv4, isIPv6 } from 'node:net';

/** What the first bytes of a connection are. */
export type ProxyHeader =
  /** Not complete yet. */
  | { readonly kind: 'partial' }
  | { readonly kind: 'unsound'; readonly problem: string }
  /** `source` is null when the balancer speaks for itself (LOCAL, UNKNOWN): then the connection's own address counts. */
  | { readonly kind: 'read'; readonly lengthBytes: number; readonly source: string | null };

const partial: ProxyHeader = { kind: 'partial' };
const unsound = (problem: string): ProxyHeader => ({ kind: 'unsound', problem });

const signature = Buffer.from('0d0a0d0a000d0a515549540a', 'hex');
const prefix = Buffer.from('PROXY ');
/** Section 2.1: the longest line, its CRLF included. */
const maxLineBytes = 107;
/** Certificates in TLVs take most of it; the length field itself could ask for 64 KiB. */
const maxBinaryBytes = 4_096;

const beginsLike = (bytes: Buffer, start: Buffer): boolean => {
  const shared = Math.min(bytes.length, start.length);
  return bytes.subarray(0, shared).equals(start.subarray(0, shared));
};

/** Reads the header at the start of `bytes`. Never throws; never asks for more than its bounds. */
export const readProxyHeader = (bytes: Buffer): ProxyHeader => {
  if (beginsLike(bytes, signature)) return bytes.length < 16 ? partial : readBinary(bytes);
  if (beginsLike(bytes, prefix)) return readLine(bytes);
  return unsound('the connection does not start with a PROXY header');
};

const readLine = (bytes: Buffer): ProxyHeader => {
  const end = bytes.subarray(0, maxLineBytes).indexOf('\r\n');
  if (end < 0) return bytes.length < maxLineBytes ? partial : unsound('the PROXY line is too long');
  const line = bytes.toString('latin1', 0, end);
  const lengthBytes = end + 2;
  // Whatever follows UNKNOWN is to be ignored.
  if (/^PROXY UNKNOWN(?: [\x20-\x7e]*)?$/.test(line)) return { kind: 'read', lengthBytes, source: null };
  const [, family, source = '', target = '', ...ports] =
    /^PROXY TCP([46]) ([0-9A-Fa-f:.]+) ([0-9A-Fa-f:.]+) (0|[1-9]\d{0,4}) (0|[1-9]\d{0,4})$/.exec(line) ?? [];
  const isAddress = family === '4' ? isIPv4 : isIPv6;
  const isSound = isAddress(source) && isAddress(target) && ports.every((port) => Number(port) <= 65_535);
  return isSound ? { kind: 'read', lengthBytes, source } : unsound('the PROXY line is malformed');
};

/** Bytes of both addresses and ports, by the byte of family and transport; others than TCP over IP are not listened for. */
const addressBytes: ReadonlyMap<number, number> = new Map([
  [0x00, 0],
  [0x11, 12],
  [0x21, 36],
]);

const readBinary = (bytes: Buffer): ProxyHeader => {
  const [versionAndCommand, family] = [bytes.readUInt8(12), bytes.readUInt8(13)];
  const lengthBytes = 16 + bytes.readUInt16BE(14);
  if (versionAndCommand !== 0x20 && versionAndCommand !== 0x21)
    return unsound('the PROXY version or command is unknown');
  if (lengthBytes > maxBinaryBytes) return unsound('the PROXY header is too long');
  const isLocal = versionAndCommand === 0x20;
  const needed = addressBytes.get(family) ?? null;
  if (needed === null && !isLocal) return unsound('the PROXY header is of another protocol than TCP over IP');
  if (bytes.length < lengthBytes) return partial;
  // Of a LOCAL header all is to be skipped, also what looks like addresses.
  if (isLocal || needed === null) return { kind: 'read', lengthBytes, source: null };
  if (lengthBytes < 16 + needed) return unsound('the PROXY header is shorter than its addresses');
  if (needed > 0 && !areFields(bytes.subarray(16 + needed, lengthBytes)))
    return unsound('the fields of the PROXY header do not add up');
  return { kind: 'read', lengthBytes, source: sourceOf(bytes, family) };
};

/** Type (1), length (2, big-endian), value: repeated to the very end. */
const areFields = (bytes: Buffer): boolean => {
  let at = 0;
  while (at + 3 <= bytes.length) at += 3 + bytes.readUInt16BE(at + 1);
  return at === bytes.length;
};

const sourceOf = (bytes: Buffer, family: number): string | null => {
  if (family === 0x11) return bytes.subarray(16, 20).join('.');
  if (family !== 0x21) return null;
  const groups = Array.from({ length: 8 }, (_, at) => bytes.readUInt16BE(16 + at * 2).toString(16));
  // Written as the URL standard does, with the longest run of zeros left out.
  return new URL(`http://[${groups.join(':')}]`).hostname.slice(1, -1);
};
