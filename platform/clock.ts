/**
 * The clock as a value, so that tests and replays can choose the time. Constructed in each main.ts.
 */

/** Answers the current time in ms since the Unix epoch. */
export type Clock = () => number;

/** The machine's clock. */
export const systemClock: Clock = () => Date.now();

/** ISO 8601 in UTC with ms, the one form in which times are stored. */
export const isoTime = (ms: number): string => new Date(ms).toISOString();
