/**
 * Follows a read model for one connection: what is there, then every change as soon as it is projected, for as long
 * as the connection lasts and its credential is good. Called by api/proxy/feed.ts and api/graphql/device-changes.ts.
 */
import type { ProjectionWaiter } from '../projections/await.ts';

/** Some rows, in order; none: nothing changed for a heartbeat's time. `position` is that of the last row so far. */
export interface Followed<Row> {
  readonly rows: readonly Row[];
  readonly position: bigint;
}

export interface FollowOptions<Row> {
  readonly waiter: Pick<ProjectionWaiter, 'onAdvance'>;
  /** Rows changed after a position, in order of their change, a bounded number. */
  readonly read: (position: bigint) => Promise<readonly Row[]>;
  readonly positionOf: (row: Row) => bigint;
  readonly after: bigint;
  /** Asked every `checkMs`, and with `checkOnAdvance` whenever the log went on: false ends the stream. */
  readonly allowed: () => Promise<boolean>;
  readonly checkMs: number;
  readonly checkOnAdvance?: boolean;
  readonly heartbeatMs: number;
  readonly signal: AbortSignal;
}

/** A bell that remembers one ring: nothing rung between looking and waiting is missed. */
const openBell = (signal: AbortSignal) => {
  let rung = false;
  let wake: () => void = () => {};
  const ring = (): void => {
    rung = true;
    wake();
  };
  signal.addEventListener('abort', ring);
  return {
    ring,
    /** Waits for a ring, at most `timeoutMs`; answers whether there was one. */
    async wait(timeoutMs: number): Promise<boolean> {
      if (!rung && !signal.aborted) {
        let timer: NodeJS.Timeout | undefined;
        await new Promise<void>((resolve) => {
          wake = resolve;
          timer = setTimeout(resolve, Math.max(0, timeoutMs));
        });
        clearTimeout(timer);
      }
      const rang = rung;
      rung = false;
      return rang;
    },
    close: () => signal.removeEventListener('abort', ring),
  };
};

/** Yields rows as they change; ends when `signal` aborts or `allowed` answers false. */
export async function* followRows<Row>(options: FollowOptions<Row>): AsyncGenerator<Followed<Row>> {
  const { waiter, read, positionOf, allowed, checkMs, heartbeatMs, signal } = options;
  let position = options.after;
  let checkedAt = performance.now();
  let spokeAt = checkedAt;
  let rang = false;
  const bell = openBell(signal);
  const stopListening = waiter.onAdvance(bell.ring);
  try {
    while (!signal.aborted) {
      const dueAt = rang && options.checkOnAdvance === true ? 0 : checkedAt + checkMs;
      if (performance.now() >= dueAt) {
        if (!(await allowed())) return;
        checkedAt = performance.now();
      }
      const rows = await read(position);
      const last = rows.at(-1);
      if (last !== undefined) {
        position = positionOf(last);
        yield { rows, position };
        spokeAt = performance.now();
        continue;
      }
      if (performance.now() - spokeAt >= heartbeatMs) {
        yield { rows, position };
        spokeAt = performance.now();
      }
      const now = performance.now();
      rang = await bell.wait(Math.min(checkedAt + checkMs, spokeAt + heartbeatMs) - now);
    }
  } finally {
    stopListening();
    bell.close();
  }
}
