/**
 * Prints measurements as rows with a ratio against the baseline of the same run. Called by every bench.
 */
import type { Measured } from './measure.ts';

const number = (value: number): string =>
  value >= 1000 ? `${(value / 1000).toFixed(1)}k` : value.toFixed(value >= 100 ? 0 : 1);

/** What a figure is compared with: a name, its rate per second, and the ratio to reach. */
export interface Baseline {
  readonly name: string;
  readonly measured: { readonly perSecond: number };
  readonly target?: number;
}

const ratio = (perSecond: number, { name, measured, target }: Baseline): string =>
  `  ${(perSecond / measured.perSecond).toFixed(2)} x ${name}${target ? ` (target ${target})` : ''}`;

const ratios = (perSecond: number, baselines: readonly Baseline[]): string =>
  baselines.map((baseline) => ratio(perSecond, baseline)).join('');

const labelled = (label: string, text: string): void => console.log(`  ${label.padEnd(52)}${text}`);

/** Prints a heading. */
export const heading = (text: string): void => console.log(`\n${text}`);

/** Prints one measurement of calls: rate, latencies, and its ratio to each baseline. */
export const row = (label: string, measured: Measured, ...baselines: readonly Baseline[]): void =>
  labelled(
    label,
    `${number(measured.perSecond).padStart(8)}/s  p50 ${number(measured.p50Ms).padStart(6)} ms  p99 ${number(measured.p99Ms).padStart(6)} ms${ratios(measured.perSecond, baselines)}`,
  );

/** Prints a rate per second that has no single calls to time. */
export const rateRow = (label: string, perSecond: number, ...baselines: readonly Baseline[]): void =>
  labelled(label, `${number(perSecond).padStart(8)}/s${ratios(perSecond, baselines)}`);

/** Prints any other figure. */
export const figureRow = (label: string, value: number, unit: string): void =>
  labelled(label, `${number(value).padStart(8)} ${unit}`);
