/**
 * A large map in the state of an aggregate: changing one key copies that key's shard, not the map, and the whole is
 * plain JSON for snapshots. Called by domain/licence/ and domain/seat/.
 */

/** One shard: its keys with their values. */
type Shard<Value> = readonly (readonly [key: string, value: Value])[];

/** Values by key, in shards that are found by a hash of the key. Lists, since those are copied fastest. */
export type Shards<Value> = readonly (readonly (Shard<Value> | null)[] | null)[];

/** 64 times 64 shards: at 100,000 keys a change copies some 150 entries. */
const width = 64;

/** FNV-1a over UTF-16 units: spreads ids and e-mail addresses, in the same way for ever. */
const hashOf = (key: string): number => {
  let hash = 0x811c9dc5;
  for (let index = 0; index < key.length; index += 1) {
    hash = Math.imul(hash ^ key.charCodeAt(index), 0x01000193);
  }
  return hash >>> 0;
};

const placeOf = (key: string): readonly [outer: number, inner: number] => {
  const hash = hashOf(key);
  return [hash % width, Math.floor(hash / width) % width];
};

const shardOf = <Value>(shards: Shards<Value>, [outer, inner]: readonly [number, number]): Shard<Value> =>
  shards[outer]?.[inner] ?? [];

/** The list with another item at `index`; places before it that were never filled are null, as in JSON. */
const replaced = <Item>(list: readonly (Item | null)[], index: number, item: Item): (Item | null)[] => {
  const copy = list.slice();
  while (copy.length < index) copy.push(null);
  copy[index] = item;
  return copy;
};

const replaceShard = <Value>(
  shards: Shards<Value>,
  [outer, inner]: readonly [number, number],
  shard: Shard<Value>,
): Shards<Value> => replaced(shards, outer, replaced(shards[outer] ?? [], inner, shard));

/** The value of a key; undefined when there is none. */
export const findIn = <Value>(shards: Shards<Value>, key: string): Value | undefined =>
  shardOf(shards, placeOf(key)).find(([known]) => known === key)?.[1];

/** The same map without the key. */
export const dropFrom = <Value>(shards: Shards<Value>, key: string): Shards<Value> => {
  const place = placeOf(key);
  return replaceShard(
    shards,
    place,
    shardOf(shards, place).filter(([known]) => known !== key),
  );
};

/** The same map with another value for the key. */
export const putInto = <Value>(shards: Shards<Value>, key: string, value: Value): Shards<Value> => {
  const place = placeOf(key);
  const others = shardOf(shards, place).filter(([known]) => known !== key);
  return replaceShard(shards, place, [...others, [key, value]]);
};
