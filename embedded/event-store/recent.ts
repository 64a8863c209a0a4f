/**
 * The newest committed events, in memory, and who waits for the next ones.
 * Fed by the writer after each commit; live subscriptions read from here and fall back to SQL when they lag.
 */
import { type StoredEvent, sizeOf } from './event.ts';

/** The newest part of the log. */
export interface Recent {
  /** Position of the last committed event, 0n when there is none. */
  last(): bigint;
  /** Adds events that are committed, in order of position, and wakes who waits. */
  publish(events: readonly StoredEvent[]): void;
  /** Forgets the events and moves the end of the log to `last`. */
  reset(last: bigint): void;
  /** Forgets the events up to `position`, because some of them were scavenged: who wants them has to ask SQL. */
  forget(position: bigint): void;
  /** Up to `limit` events after `position`; `undefined` when some of them are no longer in memory. */
  after(position: bigint, limit: number): StoredEvent[] | undefined;
  /** Resolves when an event after `position` is committed (of `stream` alone, if given) or `signal` aborts. */
  wait(position: bigint, signal: AbortSignal, stream?: string): Promise<void>;
}

type Wake = () => void;

/** Holds at most `maxEvents` events and about `maxBytes` bytes. */
export const openRecent = (maxEvents: number, maxBytes: number): Recent => {
  let events: StoredEvent[] = [];
  let start = 0;
  let bytes = 0;
  /** Every event after this position is in memory. */
  let floor = 0n;
  let end = 0n;
  const waitingForAny = new Set<Wake>();
  const waitingForStream = new Map<string, Set<Wake>>();

  const drop = (): void => {
    const gone = events[start] as StoredEvent;
    floor = gone.position;
    bytes -= sizeOf(gone);
    start += 1;
  };

  const trim = (): void => {
    while (start < events.length && (events.length - start > maxEvents || bytes > maxBytes)) drop();
    if (start > 4096 && start > events.length / 2) {
      events = events.slice(start);
      start = 0;
    }
  };

  const firstAfter = (position: bigint): number => {
    let low = start;
    let high = events.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((events[middle] as StoredEvent).position > position) high = middle;
      else low = middle + 1;
    }
    return low;
  };

  const wakeAll = (waiters: Set<Wake> | undefined): void => {
    for (const wake of [...(waiters ?? [])]) wake();
  };

  const publish: Recent['publish'] = (committed) => {
    for (const event of committed) {
      events.push(event);
      bytes += sizeOf(event);
      end = event.position;
    }
    trim();
    wakeAll(waitingForAny);
    if (waitingForStream.size > 0)
      for (const name of new Set(committed.map((event) => event.stream))) wakeAll(waitingForStream.get(name));
  };

  const waitersFor = (stream: string | undefined): Set<Wake> => {
    if (stream === undefined) return waitingForAny;
    const found = waitingForStream.get(stream) ?? new Set<Wake>();
    waitingForStream.set(stream, found);
    return found;
  };

  const wait: Recent['wait'] = (position, signal, stream) => {
    // A stream's waiter may sleep through other streams' events, so only new events of its own may wake it.
    if (signal.aborted || (stream === undefined && end > position)) return Promise.resolve();
    return new Promise((resolve) => {
      const waiters = waitersFor(stream);
      const wake = (): void => {
        waiters.delete(wake);
        if (stream !== undefined && waiters.size === 0) waitingForStream.delete(stream);
        signal.removeEventListener('abort', wake);
        resolve();
      };
      waiters.add(wake);
      signal.addEventListener('abort', wake);
    });
  };

  return {
    last: () => end,
    publish,
    wait,
    reset: (last) => {
      events = [];
      start = 0;
      bytes = 0;
      floor = last;
      end = last;
      wakeAll(waitingForAny);
      for (const waiters of [...waitingForStream.values()]) wakeAll(waiters);
    },
    forget: (position) => {
      while (start < events.length && (events[start] as StoredEvent).position <= position) drop();
    },
    after: (position, limit) => {
      if (position < floor) return undefined;
      const from = firstAfter(position);
      return events.slice(from, from + limit);
    },
  };
};
