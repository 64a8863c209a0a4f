/**
 * An event on its way through a group: fetched, delivered perhaps several times, finished once.
 * The vocabulary of group.ts, waiting.ts, dispatch.ts and parked.ts.
 */
import { type StoredEvent, sizeOf } from '../event.ts';
import type { Resolved } from '../links.ts';

/** An event as a group knows it. */
export interface Message {
  readonly resolved: Resolved;
  /** The link when there is one: its id is acknowledged, its place counts. */
  readonly source: StoredEvent;
  /** Set when it was parked before: its revision in the parked stream. It has no part in the checkpoint. */
  readonly parkedRevision: bigint | undefined;
  /** What it takes in memory, roughly. */
  readonly bytes: number;
  /** How often it was delivered before. */
  retryCount: number;
  /** When the consumer must have answered (performance.now()). */
  dueAt: number;
  /** When it was handed to its consumer (performance.now()). */
  sentAt: number;
}

/** What a consumer says of an event it cannot process. */
export type Nack = 'park' | 'retry' | 'skip' | 'stop';

export const openMessage = (resolved: Resolved, parkedRevision?: bigint): Message => {
  const { event, link } = resolved;
  const source = link ?? event;
  if (!source) throw new Error('neither an event nor a link');
  return {
    resolved,
    source,
    parkedRevision,
    bytes: (event ? sizeOf(event) : 0) + (link ? sizeOf(link) : 0),
    retryCount: 0,
    dueAt: Number.POSITIVE_INFINITY,
    sentAt: 0,
  };
};
