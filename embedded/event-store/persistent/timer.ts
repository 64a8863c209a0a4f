/**
 * One timer for whatever falls due first, and none while nothing can.
 * Kept by group.ts.
 */

/** A timer that is told when to look again. */
export interface Timer {
  /** To be called when due times may have changed. A timer that rings too early costs less than moving it each time. */
  schedule(): void;
  stop(): void;
}

/** Due times are looked at no more often than this. */
const minPauseMs = 10;

/** Calls `ring` at the earliest of `dueTimes` (performance.now()), again and again while there are any. */
export const openTimer = (dueTimes: () => readonly (number | undefined)[], ring: () => void): Timer => {
  let timer: NodeJS.Timeout | undefined;
  let ringsAt = 0;
  let isStopped = false;

  const schedule = (): void => {
    if (isStopped) return;
    let at = Number.POSITIVE_INFINITY;
    for (const time of dueTimes()) if (time !== undefined && time < at) at = time;
    if (at === Number.POSITIVE_INFINITY || (timer && ringsAt <= at)) return;
    clearTimeout(timer);
    ringsAt = at;
    timer = setTimeout(
      () => {
        timer = undefined;
        ring();
        schedule();
      },
      Math.max(minPauseMs, at - performance.now()),
    );
    timer.unref();
  };

  return {
    schedule,
    stop: () => {
      isStopped = true;
      clearTimeout(timer);
    },
  };
};
