/**
 * What a command tells the person at the terminal when it fails, and with which code it exits.
 * Called by muster.ts.
 */
import { describeCode, MusterError } from '../platform/errors.ts';

/** A readable message: what happened, the particulars, what to do. A bug shows its stack. */
export const explain = (error: unknown): string => {
  if (!(error instanceof MusterError))
    return error instanceof Error ? (error.stack ?? error.message) : String(error);
  const { title, advice } = describeCode(error.code);
  return `muster: ${title} (${error.code})\n${error.message.replace(/^/gm, '  ')}\n${advice}`;
};

/** 2 for wrong configuration, 1 for any other fault. */
export const exitCodeOf = (error: unknown): number =>
  error instanceof MusterError && error.code === 'config-invalid' ? 2 : 1;
