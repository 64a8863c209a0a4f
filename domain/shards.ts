/**
 * A large map in the state of an aggregate: changing one key copies that key's shard, not the map, and the whole is
 * plain JSON for snapshots. Called by domain/licence/ and domain/seat/.
 */

/** Values by key, in shards that are found by a hash of the key. */
export type Shards<Value> = Readonly<
  Record<string, Readonly<Record<string, Readonly<Record<string, Value>>>>>
>;

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

const placeOf = (key: string): readonly [outer: string, inner: string] => {
  const hash = hashOf(key);
  return [String(hash % width), String(Math.floor(hash / width) % width)];
};

const shardOf = <Value>(shards: Shards<Value>, outer: string, inner: string) => shards[outer]?.[inner] ?? {};

/** The value of a key; undefined when there is none. */
export const findIn = <Value>(shards: Shards<Value>, key: string): Value | undefined => {
  const shard = shardOf(shards, ...placeOf(key));
  return Object.hasOwn(shard, key) ? shard[key] : undefined;
};

const replaceShard = <Value>(
  shards: Shards<Value>,
  [outer, inner]: readonly [string, string],
  shard: Readonly<Record<string, Value>>,
): Shards<Value> => ({ ...shards, [outer]: { ...shards[outer], [inner]: shard } });

/** The same map with another value for the key. */
export const putInto = <Value>(shards: Shards<Value>, key: string, value: Value): Shards<Value> => {
  const place = placeOf(key);
  return replaceShard(shards, place, { ...shardOf(shards, ...place), [key]: value });
};

/** The same map without the key. */
export const dropFrom = <Value>(shards: Shards<Value>, key: string): Shards<Value> => {
  const place = placeOf(key);
  const { [key]: _, ...rest } = shardOf(shards, ...place);
  return replaceShard(shards, place, rest);
};
