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
  readonly decide: () => Decision;
  readonly cut: (why: Decision) => void;
}

/** Requests in flight. */
export interface HeldRequests {
  /** Adds a request; call the answer when it has ended. */
  readonly add: (held: Held) => () => void;
  /** Decides the requests of these devices again, all when undefined, and cuts those no longer allowed. */
  readonly recheck: (easIds?: readonly string[]) => void;
  readonly all: () => readonly Held[];
}

/** An empty register. */
export const openHeld = (): HeldRequests => {
  const byEasId = new Map<string, Set<Held>>();
  const unique = () => [...new Set([...byEasId.values()].flatMap((set) => [...set]))];
  const remove = (held: Held) => {
    for (const easId of held.easIds) {
      const set = byEasId.get(easId);
      set?.delete(held);
      if (set?.size === 0) byEasId.delete(easId);
    }
  };
  return {
    add: (given) => {
      const held: Held = {
        ...given,
        // Cut once: a second time would break the connection under the refusal that is on its way.
        cut: (why) => {
          remove(held);
          given.cut(why);
        },
      };
      for (const easId of held.easIds) byEasId.set(easId, (byEasId.get(easId) ?? new Set()).add(held));
      return () => remove(held);
    },
    recheck: (easIds) => {
      const concerned =
        easIds === undefined ? unique() : new Set(easIds.flatMap((easId) => [...(byEasId.get(easId) ?? [])]));
      for (const held of concerned) {
        const decision = held.decide();
        if (!decision.allow) held.cut(decision);
      }
    },
    all: unique,
  };
};
