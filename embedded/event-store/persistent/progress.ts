/**
 * How far a group has come, in memory: what was fetched, what is finished, and the place before the first unfinished.
 * Fed by fetch.ts and group.ts, stored by checkpoint.ts.
 */

/**
 * Places are revisions, or positions of $all, in the order of the source; the one before the first is `-1n`. Events are
 * also counted as they are fetched or passed over, because checkpoints fall due by number.
 */
export interface Progress {
  fetched(place: bigint): void;
  /** An event that the group's filter does not want. */
  passed(place: bigint): void;
  finished(place: bigint): void;
  /** Forgets `place` and everything behind it: it will be fetched again. All of it must be unfinished. */
  rewind(place: bigint): void;
  /** The place after which everything has to be delivered again after a crash. */
  checkpoint(): bigint;
  /** What a checkpoint written now would add to the last one: events it covers, and how many were finished since. */
  since(): Since;
  /** A checkpoint was written when `since()` was `since`. */
  written(since: Since): void;
  lastFetched(): bigint;
}

export interface Since {
  readonly covered: number;
  readonly finished: number;
}

/** Progress that begins behind `start`. */
export const openProgress = (start: bigint): Progress => {
  /** In order; `before` is the place of the event before. Bounded by the group's buffers and windows. */
  const unfinished = new Map<bigint, { readonly before: bigint; readonly countBefore: number }>();
  let last = start;
  let count = 0;
  let writtenCount = 0;
  let finishedCount = 0;

  const firstUnfinished = () => unfinished.values().next().value;
  const advance = (place: bigint): void => {
    last = place;
    count += 1;
  };

  return {
    fetched: (place) => {
      unfinished.set(place, { before: last, countBefore: count });
      advance(place);
    },
    passed: advance,
    finished: (place) => {
      if (unfinished.delete(place)) finishedCount += 1;
    },
    rewind: (place) => {
      const found = unfinished.get(place);
      if (!found) return;
      for (const one of [...unfinished.keys()]) if (one >= place) unfinished.delete(one);
      last = found.before;
      count = found.countBefore;
    },
    checkpoint: () => firstUnfinished()?.before ?? last,
    since: () => ({
      covered: (firstUnfinished()?.countBefore ?? count) - writtenCount,
      finished: finishedCount,
    }),
    written: ({ covered, finished }) => {
      writtenCount += covered;
      finishedCount -= finished;
    },
    lastFetched: () => last,
  };
};
