/**
 * What a group has fetched and no consumer has yet: events to be delivered again, then those never delivered.
 * Kept by group.ts, filled by fetch.ts. Bounded in number by the group's settings and in bytes by this file.
 */
import type { Settings } from './definition.ts';
import type { Message } from './message.ts';

/** The waiting messages of one group. */
export interface Waiting {
  /** Adds one that was just fetched. */
  add(message: Message): void;
  /** Adds some that go before all that were never delivered, in the order of the log. */
  addAgain(messages: readonly Message[]): void;
  /**
   * Gives messages, in order, to whom `choose` names for them. Where it names nobody, goes on behind that message only
   * while `searchOn` says so. `give` may bring about any change, even that its message comes back at once.
   */
  offer<To>(
    choose: (message: Message) => To | undefined,
    give: (message: Message, to: To) => void,
    searchOn: () => boolean,
  ): void;
  /** Resolves when there is room to fetch more, or `signal` aborts. */
  room(signal: AbortSignal): Promise<void>;
  /** The same for more to be delivered again. */
  roomAgain(signal: AbortSignal): Promise<void>;
  /** Removes those fetched after everything that was delivered; the first of them, if any. */
  withdraw(): Message | undefined;
  counts(): { readonly fresh: number; readonly again: number };
}

/** Fetching pauses above this and goes on below half of it: events may be large. */
const maxBytes = 16 * 1024 * 1024;

const inOrder = (a: Message, b: Message): number => Number(a.source.position - b.source.position);

export const openWaiting = (settings: Pick<Settings, 'historyBufferSize' | 'readBatchSize'>): Waiting => {
  const again: Message[] = [];
  const fresh: Message[] = [];
  let freshBytes = 0;
  let isFull = false;
  /** Position of the newest event that was ever delivered. */
  let delivered = -1n;
  const checks = new Set<() => void>();

  const offerFrom = <To>(
    queue: Message[],
    choose: (message: Message) => To | undefined,
    give: (message: Message, to: To) => void,
    searchOn: () => boolean,
  ): boolean => {
    for (let at = 0; at < queue.length; ) {
      const message = queue[at] as Message;
      const to = choose(message);
      if (to !== undefined) {
        queue.splice(at, 1);
        give(message, to);
      } else if (searchOn()) at += 1;
      else return false;
    }
    return true;
  };

  const hasRoom = (): boolean => {
    if (fresh.length >= settings.historyBufferSize || freshBytes >= maxBytes) isFull = true;
    else if (fresh.length < settings.readBatchSize && freshBytes < maxBytes / 2) isFull = false;
    return !isFull;
  };

  const until = (holds: () => boolean, signal: AbortSignal): Promise<void> =>
    new Promise((resolve) => {
      const check = (): void => {
        if (!holds() && !signal.aborted) return;
        checks.delete(check);
        signal.removeEventListener('abort', check);
        resolve();
      };
      checks.add(check);
      signal.addEventListener('abort', check);
      check();
    });

  return {
    add: (message) => {
      fresh.push(message);
      freshBytes += message.bytes;
    },
    addAgain: (messages) => {
      again.push(...messages);
      again.sort(inOrder);
    },
    offer: (choose, give, searchOn) => {
      const giveFresh = (message: Message, to: Parameters<typeof give>[1]): void => {
        freshBytes -= message.bytes;
        if (message.source.position > delivered) delivered = message.source.position;
        give(message, to);
      };
      if (offerFrom(again, choose, give, searchOn)) offerFrom(fresh, choose, giveFresh, searchOn);
      for (const check of [...checks]) check();
    },
    room: (signal) => until(hasRoom, signal),
    roomAgain: (signal) => until(() => again.length < settings.readBatchSize, signal),
    withdraw: () => {
      const at = fresh.findIndex((message) => message.source.position > delivered);
      const withdrawn = at < 0 ? [] : fresh.splice(at);
      for (const message of withdrawn) freshBytes -= message.bytes;
      return withdrawn[0];
    },
    counts: () => ({ fresh: fresh.length, again: again.length }),
  };
};
