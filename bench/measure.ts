/**
 * Measures closed loops of callers. Called by every bench; results are only meant to be compared within one run.
 */

/** Rate per second and latency percentiles in ms. */
export interface Measured {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

const percentile = (sorted: readonly number[], share: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;

/** Summary of latencies in ms over `elapsedMs`. */
export const summarise = (latencies: number[], elapsedMs: number): Measured => {
  latencies.sort((a, b) => a - b);
  return {
    perSecond: (latencies.length * 1000) / elapsedMs,
    p50Ms: percentile(latencies, 0.5),
    p99Ms: percentile(latencies, 0.99),
  };
};

/** Runs `callers` loops of `call(caller, round)` for `durationMs`; each waits for its own answer. */
export const closedLoop = async (
  callers: number,
  durationMs: number,
  call: (caller: number, round: number) => Promise<unknown>,
): Promise<Measured> => {
  const latencies: number[] = [];
  const startedAt = performance.now();
  const endsAt = startedAt + durationMs;
  const loop = async (caller: number) => {
    for (let round = 0; performance.now() < endsAt; round += 1) {
      const before = performance.now();
      await call(caller, round);
      latencies.push(performance.now() - before);
    }
  };
  await Promise.all(Array.from({ length: callers }, (_, caller) => loop(caller)));
  return summarise(latencies, performance.now() - startedAt);
};

/** The measurement whose rate is the median of an odd number of rounds. */
export const medianOf = (rounds: readonly Measured[]): Measured => {
  const sorted = [...rounds].sort((a, b) => a.perSecond - b.perSecond);
  return sorted[Math.floor(sorted.length / 2)] as Measured;
};
