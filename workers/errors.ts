/**
 * The one mapping from faults and refusals to BullMQ: what is tried again, when, and what is dead at once.
 * Called by run.ts around every job.
 */
import { UnrecoverableError } from 'bullmq';
import type { Refusal } from '../domain/refusals.ts';
import { describeCode, MusterError } from '../platform/errors.ts';

const firstPauseMs = 1000;
const longestPauseMs = 600_000;

/** What BullMQ is told: a fault that repeating cannot mend is dead at once and keeps its code; others are repeated. */
export const jobError = (error: unknown): Error => {
  if (error instanceof MusterError && !error.retryable) {
    return new UnrecoverableError(`${error.code}: ${error.message}`);
  }
  return error instanceof Error ? error : new Error(String(error));
};

/** A refusal that nobody waits for: the job is dead, with the refusal as its reason. */
export const refusedJob = ({ refused, detail }: Refusal): Error =>
  new UnrecoverableError(`${refused}: ${detail ?? describeCode(refused).title}`);

/**
 * ms until the next attempt: exponential with full jitter (so that many jobs do not return together), and never
 * before the time that the other side named. `random` is in [0, 1).
 */
export const pauseBefore = (attemptsMade: number, error: unknown, random: number): number => {
  const longest = Math.min(longestPauseMs, firstPauseMs * 2 ** (attemptsMade - 1));
  const named = error instanceof MusterError ? (error.retryAfterMs ?? 0) : 0;
  return Math.round(named + random * longest);
};
