/**
 * Whether the log still holds what a reader has read of it. Called by readers that keep checkpoints, before they read.
 */
import { MusterError } from './errors.ts';
import type { EventStore } from './event-store.ts';

/** The fault of a log that ends before `reader` has come to. */
export const logBehind = (reader: string, position: bigint, lastPosition: bigint): MusterError =>
  new MusterError(
    'log-behind-readers',
    `The log ends at position ${lastPosition}, but ${reader} know it up to position ${position}.`,
  );

/**
 * Throws `log-behind-readers` when the log ends before `position`: an older log was put in its place, and whoever went
 * on from `position` would skip what is appended up to it.
 */
export const requireLogReaches = async (
  store: Pick<EventStore, 'lastPosition'>,
  position: bigint,
  reader: string,
): Promise<void> => {
  if (position <= 0n) return;
  const lastPosition = await store.lastPosition();
  if (position > lastPosition) throw logBehind(reader, position, lastPosition);
};
