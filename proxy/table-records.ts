/**
 * The records of the table of verdicts, packed one behind the other into chunks of memory. Called by table.ts.
 *
 * A record is 16 bytes of head (reason and access, position, three lengths, the number of the user's domain) and the bytes
 * of its device id, EAS id and user, filled up to a multiple of four. Its address is its place in units of four bytes, from 1 on, so that 32 bits
 * reach 16 GiB. A chunk half of which is dead is emptied by its owner and used again.
 */
import { openDomains } from './table-domains.ts';
import { packDeviceId, unpackDeviceId } from './table-ids.ts';

/** The parts of a record. Keys are canonical text; null when there is none. */
export interface Fields {
  readonly deviceId: string;
  readonly easDeviceId: string | null;
  readonly userEmail: string | null;
}

const chunkBytes = 256 * 1024;
const headBytes = 16;
const unit = 4;
const unitsPerChunk = chunkBytes / unit;
/** Longest EAS id or user, bytes: what a length field can say; mail addresses end at 254 (RFC 5321, 4.5.3.1.3). */
const longestKey = 255;

interface Chunk {
  bytes: Buffer;
  /** Bytes used from the start. */
  used: number;
  dead: number;
}

/** Where a field lies: the chunk's bytes, from, to. */
export type Span = readonly [Buffer, number, number];

export interface Records {
  /** Stores the fields; answers the address. */
  readonly add: (fields: Fields, meta: number, position: number) => number;
  /** Declares a record dead; answers the number of a chunk that is worth emptying, or -1. */
  readonly kill: (address: number) => number;
  /** Addresses of all records of a chunk, dead ones too. */
  readonly inChunk: (chunk: number) => Generator<number>;
  /** Moves one record to where new ones go, and answers its new address. */
  readonly move: (address: number) => number;
  /** Makes an emptied chunk available again. */
  readonly free: (chunk: number) => void;
  readonly chunks: () => number;
  readonly isLive: (address: number) => boolean;
  readonly meta: (address: number) => number;
  readonly position: (address: number) => number;
  readonly write: (address: number, meta: number, position: number) => void;
  readonly deviceSpan: (address: number) => Span;
  readonly easSpan: (address: number) => Span;
  /** The user's address, without its domain when that is kept apart. */
  readonly userSpan: (address: number) => Span;
  readonly fields: (address: number) => Fields;
  readonly sizeBytes: () => number;
}

/** The bytes of a key, none when it is longer than any request could name it. */
const keyBytes = (text: string | null): Buffer => {
  const bytes = Buffer.from(text ?? '', 'utf8');
  return bytes.length > longestKey ? Buffer.alloc(0) : bytes;
};

/** Marks a record that is dead: no reason has this number. */
const deadMeta = 0xffff_ffff;

const lengthOf = (bytes: Buffer, at: number): number => {
  const payload = headBytes + bytes.readUInt8(at + 12) + bytes.readUInt8(at + 13) + bytes.readUInt8(at + 14);
  return Math.ceil(payload / unit) * unit;
};

/** No records yet. */
export const openRecords = (): Records => {
  const domains = openDomains();
  const chunks: Chunk[] = [];
  const freed: number[] = [];
  let current = -1;

  const roomFor = (length: number): Chunk => {
    const chunk = chunks[current];
    if (chunk !== undefined && chunk.used + length <= chunkBytes) return chunk;
    current = freed.pop() ?? chunks.length;
    const fresh = { bytes: chunks[current]?.bytes ?? Buffer.allocUnsafeSlow(chunkBytes), used: 0, dead: 0 };
    chunks[current] = fresh;
    return fresh;
  };
  const take = (length: number): { chunk: Chunk; at: number; address: number } => {
    const chunk = roomFor(length);
    const at = chunk.used;
    chunk.used += length;
    return { chunk, at, address: current * unitsPerChunk + at / unit + 1 };
  };
  const chunkOf = (address: number): number => Math.floor((address - 1) / unitsPerChunk);
  const placeOf = (address: number): number => ((address - 1) % unitsPerChunk) * unit;
  const bytesOf = (address: number): Buffer => (chunks[chunkOf(address)] as Chunk).bytes;

  // Asked for every candidate of every look-up.
  const spanAt = (address: number, field: 0 | 1 | 2): Span => {
    const bytes = bytesOf(address);
    const lengths = placeOf(address) + 12;
    let from = lengths - 12 + headBytes;
    for (let before = 0; before < field; before += 1) from += bytes[lengths + before] as number;
    return [bytes, from, from + (bytes[lengths + field] as number)];
  };
  const deviceSpan = (address: number): Span => spanAt(address, 0);
  const easSpan = (address: number): Span => spanAt(address, 1);
  const userSpan = (address: number): Span => spanAt(address, 2);
  const userOf = (address: number): string | null => {
    const text = textOf(userSpan(address));
    return text === null
      ? null
      : domains.join({ text, domain: bytesOf(address).readUInt8(placeOf(address) + 15) });
  };
  const textOf = ([bytes, from, to]: Span): string | null =>
    from === to ? null : bytes.toString('utf8', from, to);

  return {
    add: ({ deviceId, easDeviceId, userEmail }, meta, position) => {
      const device = packDeviceId(deviceId);
      const eas = keyBytes(easDeviceId);
      const { text, domain } = domains.split(userEmail ?? '');
      const user = keyBytes(text);
      const length = headBytes + device.length + eas.length + user.length;
      const { chunk, at, address } = take(Math.ceil(length / unit) * unit);
      chunk.bytes.writeUInt32LE(meta, at);
      chunk.bytes.writeDoubleLE(position, at + 4);
      chunk.bytes.writeUInt8(device.length, at + 12);
      chunk.bytes.writeUInt8(eas.length, at + 13);
      chunk.bytes.writeUInt8(user.length, at + 14);
      chunk.bytes.writeUInt8(domain, at + 15);
      let next = at + headBytes;
      for (const part of [device, eas, user]) {
        chunk.bytes.set(part, next);
        next += part.length;
      }
      return address;
    },
    kill: (address) => {
      const number = chunkOf(address);
      const chunk = chunks[number] as Chunk;
      const at = placeOf(address);
      chunk.bytes.writeUInt32LE(deadMeta, at);
      chunk.dead += lengthOf(chunk.bytes, at);
      return number !== current && chunk.dead * 2 > chunk.used ? number : -1;
    },
    *inChunk(number) {
      const chunk = chunks[number] as Chunk;
      for (let at = 0; at < chunk.used; at += lengthOf(chunk.bytes, at))
        yield number * unitsPerChunk + at / unit + 1;
    },
    move: (from) => {
      const [bytes, start] = [bytesOf(from), placeOf(from)];
      const length = lengthOf(bytes, start);
      const { chunk, at, address } = take(length);
      bytes.copy(chunk.bytes, at, start, start + length);
      return address;
    },
    free: (number) => {
      (chunks[number] as Chunk).used = 0;
      (chunks[number] as Chunk).dead = 0;
      freed.push(number);
    },
    chunks: () => chunks.length,
    isLive: (address) => bytesOf(address).readUInt32LE(placeOf(address)) !== deadMeta,
    meta: (address) => bytesOf(address).readUInt32LE(placeOf(address)),
    position: (address) => bytesOf(address).readDoubleLE(placeOf(address) + 4),
    write: (address, meta, position) => {
      const [bytes, at] = [bytesOf(address), placeOf(address)];
      bytes.writeUInt32LE(meta, at);
      bytes.writeDoubleLE(position, at + 4);
    },
    deviceSpan,
    easSpan,
    userSpan,
    fields: (address) => {
      const [bytes, from, to] = deviceSpan(address);
      return {
        deviceId: unpackDeviceId(bytes, from, to),
        easDeviceId: textOf(easSpan(address)),
        userEmail: userOf(address),
      };
    },
    sizeBytes: () => chunks.length * chunkBytes,
  };
};
