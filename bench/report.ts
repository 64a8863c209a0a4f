/**
 * Prints measurements as rows with a ratio against the baseline of the same run. Called by every bench.
 */
import type { Measured } from './measure.ts';

const number = (value: number): string =>
  value >= 1000 ? `${(value / 1000).toFixed(1)}k` : value.toFixed(value >= 100 ? 0 : 1);

/** Prints a heading. */
export const heading = (text: string): void => console.log(`\n${text}`);

/** Prints one measurement; `baseline` is what the ratio is against, `target` the ratio to reach. */
export const row = (
  label: string,
  measured: Measured,
  baseline?: { readonly name: string; readonly measured: Measured; readonly target?: number },
): void => {
  const rate = `${number(measured.perSecond).padStart(8)}/s  p50 ${number(measured.p50Ms).padStart(6)} ms  p99 ${number(measured.p99Ms).padStart(6)} ms`;
  const ratio = baseline
    ? `  ${(measured.perSecond / baseline.measured.perSecond).toFixed(2)} x ${baseline.name}${baseline.target ? ` (target ${baseline.target})` : ''}`
    : '';
  console.log(`  ${label.padEnd(52)}${rate}${ratio}`);
};
