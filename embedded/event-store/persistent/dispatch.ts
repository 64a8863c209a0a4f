/**
 * Consumer strategies: which consumer gets a message. Pure but for the turn that round robin remembers.
 * Called by group.ts.
 */
import { crc32 } from 'node:zlib';
import { type Consumer, hasRoom } from './consumer.ts';
import type { Settings } from './definition.ts';
import type { Message } from './message.ts';

/** Chooses among `consumers` (in order of arrival); `undefined` when the message has to wait. */
export type Dispatch = (message: Message, consumers: readonly Consumer[]) => Consumer | undefined;

/** Buckets that pinned strategies share out, as on the real server. */
const buckets = 1_024;

const correlationOf = (message: Message): string | undefined => {
  try {
    const parsed: unknown = JSON.parse(Buffer.from(message.source.metadata).toString('utf8'));
    const id = (parsed as { $correlationId?: unknown } | null)?.$correlationId;
    return typeof id === 'string' ? id : undefined;
  } catch {
    return undefined;
  }
};

const streamOf = (message: Message): string => (message.resolved.event ?? message.source).stream;

/** Each bucket belongs to one consumer while the consumers stay the same; a full one makes its messages wait. */
const pinned =
  (keyOf: (message: Message) => string): Dispatch =>
  (message, consumers) => {
    if (consumers.length === 0) return undefined;
    const bucket = crc32(keyOf(message)) % buckets;
    const owner = consumers[bucket % consumers.length] as Consumer;
    return hasRoom(owner) ? owner : undefined;
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
