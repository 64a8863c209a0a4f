/**
 * What the event store keeps: events, their numbering and their checksum.
 * The vocabulary of every other file in this folder.
 */
import { crc32 } from 'node:zlib';

/** Revision of the event that ends a tombstoned stream: 2^63-1, as EventStoreDB writes it. */
export const tombstoneRevision = 2n ** 63n - 1n;

/** `$tb` of a soft-deleted stream; the same number, here a truncation point. */
export const deletedTruncateBefore = tombstoneRevision;

/** An event as a client proposes it. `id` is a lower-case UUID. */
export interface NewEvent {
  readonly id: string;
  readonly type: string;
  readonly json: boolean;
  readonly data: Uint8Array;
  readonly metadata: Uint8Array;
}

/** An event as stored. `created` is in ticks: 100-nanosecond units since the Unix epoch. */
export interface StoredEvent extends NewEvent {
  readonly position: bigint;
  readonly stream: string;
  readonly revision: bigint;
  readonly created: bigint;
}

/** Ticks in a millisecond and in a second. */
export const ticksPerMs = 10_000n;
export const ticksPerSecond = 10_000_000n;

/** zlib starts over at 0 when an empty buffer has no memory of its own, and whether it has any is left to chance. */
const continueCrc = (bytes: Uint8Array, sum: number): number =>
  bytes.length === 0 ? sum : crc32(bytes, sum);

/** CRC-32 of everything an event says, as a signed 32-bit integer; `verify` recomputes it. */
export const checksumOf = (event: StoredEvent): number => {
  const head = `${event.position}/${event.revision}/${event.created}/${event.id}/${event.json}/${event.metadata.length}/${event.stream}/${event.type}`;
  return continueCrc(event.data, continueCrc(event.metadata, crc32(head))) | 0;
};

/** Bytes an event takes in memory and on the wire, roughly. */
export const sizeOf = (event: NewEvent): number =>
  event.data.length + event.metadata.length + event.type.length + 200;

/** Name of the stream that holds the metadata of `stream`. */
export const metastreamOf = (stream: string): string => `$$${stream}`;

/** Whether `stream` holds another stream's metadata. */
export const isMetastream = (stream: string): boolean => stream.startsWith('$$');

/** The stream whose metadata `stream` holds, or `stream` itself. */
export const originalOf = (stream: string): string => (isMetastream(stream) ? stream.slice(2) : stream);

/**
 * Streams that $all leaves out, as the real server does: checkpoints and parked events of persistent subscriptions to
 * $all. Each of them would otherwise be an event for the subscription that wrote it.
 */
export const hiddenFromAll = '$persistentsubscription-$all::';
