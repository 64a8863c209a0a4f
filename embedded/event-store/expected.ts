/**
 * Decides what an append does to a stream: write, repeat an earlier success, or refuse. Pure.
 * Called by the writer for each request, with the heads in memory. Follows EventStoreDB's commit check
 * (IndexWriter.CheckCommit), row by row.
 */
import { tombstoneRevision } from './event.ts';

/** Expected version of a request: a revision (-1n means no stream, as on the wire), or one of two looser ones. */
export type Expected = bigint | 'any' | 'stream-exists';

/** What is known of the stream. `current` is its last revision, -1n when it has none. */
export interface StreamFacts {
  readonly current: bigint;
  readonly softDeleted: boolean;
  readonly hasMetadata: boolean;
}

/** Where an event with a given id is in the stream. */
export interface Place {
  readonly revision: bigint;
  readonly position: bigint;
}

/** Event ids of the stream. `remembered` is the bounded memory; `stored` was read from disk, when it was needed. */
export interface KnownIds {
  remembered(id: string): Place | undefined;
  readonly stored?: ReadonlyMap<bigint, { readonly id: string; readonly position: bigint }>;
}

export type Decision =
  | { readonly do: 'write' }
  | { readonly do: 'repeat'; readonly last: Place }
  | { readonly do: 'nothing' }
  | { readonly do: 'look-up'; readonly from: bigint }
  | { readonly do: 'refuse'; readonly because: 'wrong-expected-version' | 'stream-deleted' };

const wrongVersion: Decision = { do: 'refuse', because: 'wrong-expected-version' };
const write: Decision = { do: 'write' };

const decideLoose = (ids: readonly string[], known: KnownIds): Decision => {
  let last: Place | undefined;
  for (const [index, id] of ids.entries()) {
    const place = known.remembered(id);
    // An unknown first id is a new append, whatever follows; an unknown later one is half of an old append.
    if (!place) return index === 0 ? write : wrongVersion;
    last = place;
  }
  return last ? { do: 'repeat', last } : { do: 'nothing' };
};

const decideBehind = (
  expected: bigint,
  ids: readonly string[],
  facts: StreamFacts,
  known: KnownIds,
): Decision => {
  let last: Place | undefined;
  for (const [index, id] of ids.entries()) {
    const revision = expected + 1n + BigInt(index);
    const place = known.remembered(id);
    if (place?.revision === revision) {
      last = place;
      continue;
    }
    if (!known.stored && revision <= facts.current) return { do: 'look-up', from: expected + 1n };
    const stored = known.stored?.get(revision);
    if (stored?.id === id) {
      last = { revision, position: stored.position };
      continue;
    }
    return index === 0 && expected === -1n && facts.softDeleted ? write : wrongVersion;
  }
  return last ? { do: 'repeat', last } : wrongVersion;
};

/** Decides on an append of events with `ids` (in order) to a stream. `look-up` asks for `known.stored` and a repeat. */
export const decideAppend = (
  expected: Expected,
  ids: readonly string[],
  facts: StreamFacts,
  known: KnownIds,
): Decision => {
  if (facts.current === tombstoneRevision) return { do: 'refuse', because: 'stream-deleted' };
  if (expected === 'stream-exists') {
    if (facts.softDeleted) return { do: 'refuse', because: 'stream-deleted' };
    if (facts.current < 0n && !facts.hasMetadata) return wrongVersion;
  }
  if (typeof expected !== 'bigint') return decideLoose(ids, known);
  if (expected < facts.current) return decideBehind(expected, ids, facts, known);
  if (expected > facts.current) return wrongVersion;
  return ids.length === 0 ? { do: 'nothing' } : write;
};

/** Decides on a delete or a tombstone, which know no idempotency. */
export const decideRemoval = (expected: Expected, facts: StreamFacts): Decision => {
  if (facts.current === tombstoneRevision) return { do: 'refuse', because: 'stream-deleted' };
  if (expected === 'stream-exists') {
    if (facts.softDeleted) return { do: 'refuse', because: 'stream-deleted' };
    return facts.current < 0n && !facts.hasMetadata ? wrongVersion : write;
  }
  if (expected === 'any' || expected === facts.current) return write;
  return expected === -1n && facts.softDeleted ? write : wrongVersion;
};
