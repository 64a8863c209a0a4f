/**
 * Requests that the back end holds until there is something to tell, the test ends their heartbeat, or the client leaves.
 * No clock: a heartbeat ends when it is told to. Used by back-end.ts.
 */
import { EventEmitter, once } from 'node:events';

export interface Waiting {
  /** Settles with what `look` finds, at once or later; `over` when the heartbeat ends, `left` when the client does. */
  readonly hold: <T>(signal: AbortSignal, look: () => T | undefined) => Promise<T | 'over' | 'left'>;
  /** Something has changed: everybody looks again. */
  readonly poke: () => void;
  /** Ends the heartbeat of all that are held. */
  readonly endHeartbeats: () => void;
  readonly held: () => number;
  /** Settles once exactly `count` requests are held. */
  readonly untilHeld: (count: number) => Promise<void>;
}

export const openWaiting = (): Waiting => {
  const events = new EventEmitter().setMaxListeners(0);
  const holds = new Set<{ readonly look: () => boolean; readonly end: () => void }>();
  const hold: Waiting['hold'] = (signal, look) => {
    const found = look();
    if (found !== undefined) return Promise.resolve(found);
    if (signal.aborted) return Promise.resolve('left');
    return new Promise((resolve) => {
      const settle = (outcome: Parameters<typeof resolve>[0]) => {
        holds.delete(entry);
        resolve(outcome);
        events.emit('held');
      };
      const entry = {
        look: () => {
          const later = look();
          if (later !== undefined) settle(later);
          return later !== undefined;
        },
        end: () => settle('over'),
      };
      holds.add(entry);
      signal.addEventListener('abort', () => settle('left'), { once: true });
      events.emit('held');
    });
  };
  return {
    hold,
    poke: () => {
      for (const entry of holds) entry.look();
    },
    endHeartbeats: () => {
      for (const entry of holds) entry.end();
    },
    held: () => holds.size,
    untilHeld: async (count) => {
      while (holds.size !== count) await once(events, 'held');
    },
  };
};
