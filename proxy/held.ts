/**
 * The requests now in flight, by the device they are for, so that a verdict that turns cuts them at once instead of
 * when a long poll of up to an hour ends. Filled by gate.ts; asked by instance.ts whenever the table changes.
 */
import type { Decision } from './question.ts';

/** One request in flight: how to decide it again and how to end it. */
export interface Held {
  /** Canonical EAS ids under which its device may be known. */
  readonly easIds: readonly string[];
  readonly isLongPoll: boolean;
  decide(): Decision;
  cut(why: Decision): void;
  /** Its neighbours among those in flight; the register's own. */
  before: Held | null;
  after: Held | null;
}

/** Requests in flight. */
export interface HeldRequests {
  readonly add: (held: Held) => void;
  /** Takes one out; those that are not in stay out. */
  readonly remove: (held: Held) => void;
  /** Decides the requests of these devices again, all when undefined, and cuts those no longer allowed. */
  readonly recheck: (easIds?: readonly string[]) => void;
  /** Takes a request out and ends it. */
  readonly cut: (held: Held, why: Decision) => void;
  readonly all: () => readonly Held[];
  readonly size: () => number;
}

/**
 * An empty register. A chain and no map by device: every request comes and goes here, and a look through all that are in
 * flight is only needed when a verdict changes.
 */
export const openHeld = (): HeldRequests => {
  let first: Held | null = null;
  let last: Held | null = null;
  let size = 0;

  const remove = (held: Held): void => {
    if (held.before === null && first !== held) return;
    if (held.before === null) first = held.after;
    else held.before.after = held.after;
    if (held.after === null) last = held.before;
    else held.after.before = held.before;
    // What has left must lead nowhere: a collector of generations would keep all that came after it.
    held.before = null;
    held.after = null;
    size -= 1;
  };
  // Cut once: a second time would break the connection under the refusal that is on its way.
  const cut = (held: Held, why: Decision): void => {
    remove(held);
    held.cut(why);
  };
  const all = (): Held[] => {
    const found: Held[] = [];
    for (let held = first; held !== null; held = held.after) found.push(held);
    return found;
  };
  return {
    add: (held) => {
      held.before = last;
      if (last === null) first = held;
      else last.after = held;
      last = held;
      size += 1;
    },
    remove,
    cut,
    recheck: (easIds) => {
      const concerned = easIds === undefined ? null : new Set(easIds);
      for (const held of all()) {
        if (concerned !== null && !held.easIds.some((easId) => concerned.has(easId))) continue;
        const decision = held.decide();
        if (!decision.allow) cut(held, decision);
      }
    },
    all,
    size: () => size,
  };
};
