/**
 * When an attempt to sign in may go on: pure, over what attempts.ts stores. Guessing from few addresses is slowed
 * down by pauses that double; guessing from many by two lanes per account, in which strangers queue for a turn of
 * their own. Whoever signed in to the account before, from that address or with that program, never queues.
 */

/** A row of failures. Times in ms since the epoch. */
export interface Failures {
  readonly failures: number;
  readonly freeAt: number;
  readonly lastAt: number;
}

/** What is known about an attempt of one client (address or program) on one account. */
export interface AttemptFacts {
  readonly now: number;
  /** Whether the account was signed in to from this client before. */
  readonly known: boolean;
  /** Whether a challenge was solved for this attempt. */
  readonly solved: boolean;
  /** Failures of this client on this account. */
  readonly own: Failures | undefined;
  /** When the next turn of each lane is, in ms since the epoch, counted without its burst. */
  readonly lanes: Readonly<Record<LaneName, number>>;
  /** The turn that this client was given. */
  readonly turnAt: number | undefined;
}

export type LaneName = 'first' | 'again';

/** What becomes of it. */
export type Admission =
  | { readonly admitted: true; readonly own: Failures; readonly lane?: readonly [LaneName, number] }
  | {
      readonly admitted: false;
      readonly waitMs: number;
      readonly turnAt?: number;
      readonly lane?: readonly [LaneName, number];
    };

/** Attempts without any pause, then pauses that double. */
export interface Limit {
  readonly free: number;
  readonly longestPauseMs: number;
}

/** Of one client on one account. */
export const perClient: Limit = { free: 5, longestPauseMs: 900_000 };
/** Of one address on whatever accounts. */
export const perAddress: Limit = { free: 50, longestPauseMs: 60_000 };
/** Failures are forgotten after this long. */
export const forgottenAfterMs = 24 * 3_600_000;

/** A lane of one account: a turn each `intervalMs`, `burst` turns at once after a quiet time. */
interface Lane {
  readonly intervalMs: number;
  readonly burst: number;
}

/**
 * `first`: strangers who have not failed on the account within a day, or solved a challenge. `again`: those who
 * have. A guesser with many addresses spends each of them once a day in the first lane and meets itself in the second.
 */
export const lanes: Readonly<Record<LaneName, Lane>> = {
  first: { intervalMs: 500, burst: 20 },
  again: { intervalMs: 10_000, burst: 10 },
};
/** The longest queue: nobody is given a turn later than this. It is what a stranger waits at most for one. */
export const longestQueueMs = 300_000;
/** A turn that is not taken within this time is lost. */
export const turnKeptMs = 60_000;

/** Failures after one more. */
export const oneMore = (row: Failures | undefined, limit: Limit, now: number): Failures => {
  const remembered = row && now - row.lastAt < forgottenAfterMs ? row : { failures: 0, freeAt: 0 };
  const failures = remembered.failures + 1;
  const pauseMs = Math.min(limit.longestPauseMs, 1000 * 2 ** Math.min(failures - limit.free, 20));
  return { failures, lastAt: now, freeAt: failures < limit.free ? remembered.freeAt : now + pauseMs };
};

/** Decides one attempt; an admitted one counts as failed until it succeeds. */
export const admit = (facts: AttemptFacts): Admission => {
  const { now, known, solved, own, turnAt } = facts;
  if (own && own.freeAt > now) return { admitted: false, waitMs: own.freeAt - now };
  const admitted = { admitted: true, own: oneMore(own, perClient, now) } as const;
  if (known) return admitted;
  if (turnAt !== undefined && now < turnAt) return { admitted: false, waitMs: turnAt - now };
  if (turnAt !== undefined && now <= turnAt + turnKeptMs) return admitted;
  const failed = own !== undefined && own.failures > 0 && now - own.lastAt < forgottenAfterMs;
  const name: LaneName = failed && !solved ? 'again' : 'first';
  const { intervalMs, burst } = lanes[name];
  const next = Math.max(facts.lanes[name], now);
  const turn = next - burst * intervalMs;
  const lane = [name, next + intervalMs] as const;
  if (turn < now) return { ...admitted, lane };
  if (turn - now > longestQueueMs) return { admitted: false, waitMs: longestQueueMs };
  return { admitted: false, waitMs: turn - now + 1, turnAt: turn + 1, lane };
};
