/**
 * A hash index from the bytes of a key to record addresses: open addressing in packed arrays, many small ones, so that
 * none takes long to grow. Called by table.ts. An index holds no keys: the caller says what a record's key is, and every
 * candidate is compared whole, so that two keys with one hash never answer for each other. A byte of each hash is kept beside
 * the addresses, so that nearly all records met on the way to the right one need not be looked at: each lies elsewhere.
 */
import { randomInt } from 'node:crypto';

/** What the index must know of the records it points at. */
export interface Keyed {
  readonly hashOf: (address: number) => number;
  readonly hasKey: (address: number, key: Uint8Array) => boolean;
}

/** Addresses are whole numbers from 1. A key may have several. */
export interface Index {
  readonly add: (hash: number, address: number) => void;
  readonly remove: (hash: number, address: number) => void;
  readonly replace: (hash: number, from: number, to: number) => void;
  /** Every address under a key. */
  readonly find: (hash: number, key: Uint8Array) => readonly number[];
  /** The first address under a key, 0 when there is none. */
  readonly first: (hash: number, key: Uint8Array) => number;
  readonly sizeBytes: () => number;
}

/** Shards are chosen by the low bits of a hash, places within one by the whole of it. */
const shardCount = 256;
const firstCapacity = 8;
const fullest = 0.9;
const growth = 1.25;

const seed = randomInt(1, 2 ** 31);

/** A hash of 32 bits, of a seed that nobody outside the process knows: ids are chosen by devices. */
export const hashOf = (bytes: Uint8Array, from = 0, to = bytes.length): number => {
  let hash = seed;
  for (let at = from; at < to; at += 1) hash = Math.imul(hash ^ (bytes[at] as number), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
};

interface Shard {
  slots: Uint32Array;
  /** A byte of the hash of what lies in each slot. */
  tags: Uint8Array;
  used: number;
}

/** Of bits that choose neither the shard nor, but in vast shards, the place. */
const tagOf = (hash: number): number => (hash >>> 8) & 0xff;

const homeOf = (hash: number, capacity: number): number => Math.floor((hash / 2 ** 32) * capacity);
const after = (slot: number, capacity: number): number => (slot + 1 === capacity ? 0 : slot + 1);

const put = ({ slots, tags }: Shard, hash: number, address: number): void => {
  let slot = homeOf(hash, slots.length);
  while (slots[slot] !== 0) slot = after(slot, slots.length);
  slots[slot] = address;
  tags[slot] = tagOf(hash);
};

const grow = (shard: Shard, { hashOf: hashAt }: Keyed): void => {
  const old = shard.slots;
  const capacity = Math.ceil(old.length * growth);
  shard.slots = new Uint32Array(capacity);
  shard.tags = new Uint8Array(capacity);
  for (const address of old) if (address !== 0) put(shard, hashAt(address), address);
};

const slotOf = ({ slots }: Shard, hash: number, address: number): number => {
  let slot = homeOf(hash, slots.length);
  for (; slots[slot] !== address; slot = after(slot, slots.length))
    if (slots[slot] === 0) throw new Error('an index lost a record');
  return slot;
};

/** Closes the gap: what stands behind it moves up unless that would put it before its home. */
const close = ({ slots, tags }: Shard, gapAt: number, { hashOf: hashAt }: Keyed): void => {
  const capacity = slots.length;
  let gap = gapAt;
  for (let slot = after(gap, capacity); slots[slot] !== 0; slot = after(slot, capacity)) {
    const home = homeOf(hashAt(slots[slot] as number), capacity);
    const fromHome = (slot - home + capacity) % capacity;
    if (fromHome < (slot - gap + capacity) % capacity) continue;
    slots[gap] = slots[slot] as number;
    tags[gap] = tags[slot] as number;
    gap = slot;
  }
  slots[gap] = 0;
};

/** An empty index over records. */
export const openIndex = (keyed: Keyed): Index => {
  const shards: Shard[] = Array.from({ length: shardCount }, () => ({
    slots: new Uint32Array(firstCapacity),
    tags: new Uint8Array(firstCapacity),
    used: 0,
  }));
  const shardOf = (hash: number): Shard => shards[hash % shardCount] as Shard;

  return {
    add: (hash, address) => {
      const shard = shardOf(hash);
      if (shard.used + 1 > shard.slots.length * fullest) grow(shard, keyed);
      put(shard, hash, address);
      shard.used += 1;
    },
    remove: (hash, address) => {
      const shard = shardOf(hash);
      close(shard, slotOf(shard, hash, address), keyed);
      shard.used -= 1;
    },
    replace: (hash, from, to) => {
      const shard = shardOf(hash);
      shard.slots[slotOf(shard, hash, from)] = to;
    },
    find: (hash, key) => {
      const found: number[] = [];
      const { slots, tags } = shardOf(hash);
      const tag = tagOf(hash);
      let slot = homeOf(hash, slots.length);
      for (; slots[slot] !== 0; slot = after(slot, slots.length))
        if (tags[slot] === tag && keyed.hasKey(slots[slot] as number, key)) found.push(slots[slot] as number);
      return found;
    },
    first: (hash, key) => {
      const { slots, tags } = shardOf(hash);
      const tag = tagOf(hash);
      let slot = homeOf(hash, slots.length);
      for (; slots[slot] !== 0; slot = after(slot, slots.length))
        if (tags[slot] === tag && keyed.hasKey(slots[slot] as number, key)) return slots[slot] as number;
      return 0;
    },
    sizeBytes: () => shards.reduce((sum, { slots, tags }) => sum + slots.byteLength + tags.byteLength, 0),
  };
};
