/**
 * Consumer strategies: which consumer gets a message. Pure but for the turn that round robin remembers.
 * Called by group.ts.
 */
import { crc32 } from 'node:zlib';
import type { StoredEvent } from '../event.ts';
import { type Consumer, hasRoom, inFlightOf } from './consumer.ts';
import type { Settings } from './definition.ts';
import type { Message } from './message.ts';

/** Chooses among `consumers` (in order of arrival); `undefined` when the message has to wait. */
export type Dispatch = (message: Message, consumers: readonly Consumer[]) => Consumer | undefined;

/** Buckets that pinned strategies share out, as on the real server. */
const buckets = 1_024;

const eventOf = (message: Message): StoredEvent => message.resolved.event ?? message.source;

const correlationOf = (message: Message): string | undefined => {
  try {
    const parsed: unknown = JSON.parse(Buffer.from(eventOf(message).metadata).toString('utf8'));
    const id = (parsed as { $correlationId?: unknown } | null)?.$correlationId;
    return typeof id === 'string' ? id : undefined;
  } catch {
    return undefined;
  }
};

const streamOf = (message: Message): string => eventOf(message).stream;

/** How many of `buckets` each consumer has. */
const countsOf = (
  owners: ReadonlyMap<number, Consumer>,
  consumers: readonly Consumer[],
): Map<Consumer, number> => {
  const counts = new Map(consumers.map((consumer) => [consumer, 0]));
  for (const owner of owners.values()) counts.set(owner, (counts.get(owner) ?? 0) + 1);
  return counts;
};

/**
 * Buckets are given out as they are met, to whoever has fewest, and stay where they are: who leaves loses its own, who
 * joins gets what the others have above an even share, and of that what has nothing in flight first.
 */
const pinned = (keyOf: (message: Message) => string): Dispatch => {
  const owners = new Map<number, Consumer>();
  let known: readonly Consumer[] = [];
  const bucketOf = (message: Message): number => crc32(keyOf(message)) % buckets;

  const settle = (consumers: readonly Consumer[]): void => {
    known = consumers;
    for (const [bucket, owner] of owners) if (!consumers.includes(owner)) owners.delete(bucket);
    const share = Math.ceil(owners.size / Math.max(1, consumers.length));
    for (const [owner, count] of countsOf(owners, consumers)) {
      if (count <= share) continue;
      const busy = new Set(inFlightOf(owner).map(bucketOf));
      const own = [...owners].flatMap(([bucket, one]) => (one === owner ? [bucket] : []));
      own.sort((a, b) => Number(busy.has(a)) - Number(busy.has(b)));
      for (const bucket of own.slice(0, count - share)) owners.delete(bucket);
    }
  };

  return (message, consumers) => {
    if (consumers !== known) settle(consumers);
    const bucket = bucketOf(message);
    let owner = owners.get(bucket);
    if (!owner) {
      const [fewest] = [...countsOf(owners, consumers)].sort(([, a], [, b]) => a - b);
      if (!fewest) return undefined;
      owner = fewest[0];
      owners.set(bucket, owner);
    }
    return hasRoom(owner) ? owner : undefined;
  };
};

const roundRobin = (): Dispatch => {
  let turn = 0;
  return (_message, consumers) => {
    for (let tried = 0; tried < consumers.length; tried += 1) {
      const consumer = consumers[turn % consumers.length] as Consumer;
      turn = (turn + 1) % consumers.length;
      if (hasRoom(consumer)) return consumer;
    }
    return undefined;
  };
};

/** Whether a message without a place says nothing of the messages behind it. */
export const isPinned = (strategy: Settings['strategy']): boolean => strategy.startsWith('Pinned');

/** The strategy of that name, with a memory of its own. */
export const openDispatch = (strategy: Settings['strategy']): Dispatch => {
  switch (strategy) {
    case 'DispatchToSingle':
      return (_message, consumers) => consumers.find(hasRoom);
    case 'RoundRobin':
      return roundRobin();
    case 'Pinned':
      return pinned(streamOf);
    case 'PinnedByCorrelation':
      return pinned((message) => correlationOf(message) ?? streamOf(message));
  }
};
