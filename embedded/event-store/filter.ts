/**
 * Filters of $all: by prefix or regular expression, on the stream name or the event type.
 * Called by the read handlers. Patterns come from clients, so none may run for long.
 */
import { setFlagsFromString } from 'node:v8';
import type { StoredEvent } from './event.ts';

/** A filter as asked for; `regex` is empty when prefixes are given. */
export interface FilterRequest {
  readonly on: 'stream' | 'type';
  readonly prefixes: readonly string[];
  readonly regex: string;
}

/** Whether an event passes. */
export type Filter = (event: StoredEvent) => boolean;

// V8's linear-time engine (flag `l`) cannot backtrack, so no pattern it accepts can be made to run for long.
setFlagsFromString('--enable-experimental-regexp-engine');

const maxPatternLength = 1_024;
/** With at most this many unbounded repetitions, none nested, backtracking stays polynomial and short. */
const maxUnbounded = 2;

/** .NET notation that JavaScript writes otherwise: leading `(?i)`, `\A`, `\z`, `\Z`. */
const translate = (pattern: string): { source: string; flags: string } => {
  const inline = /^\(\?([imsn]+)\)/.exec(pattern);
  const source = (inline ? pattern.slice(inline[0].length) : pattern)
    .replace(/\\A/g, '^')
    .replace(/\\[zZ]/g, '$');
  const flags = [...(inline?.[1] ?? '')].filter((flag) => 'ims'.includes(flag)).join('');
  return { source, flags: /\\p\{/i.test(source) ? `${flags}u` : flags };
};

const tryCompile = (source: string, flags: string): RegExp | undefined => {
  try {
    return new RegExp(source, flags);
  } catch {
    return undefined;
  }
};

/** Replaces what cannot repeat anything by a plain letter, so that what remains shows the nesting. */
const skeleton = (source: string): string =>
  source
    .replace(/\\[pP]\{[^}]*\}|\\./g, 'x')
    .replace(/\[\^?\]?[^\]]*\]/g, 'x')
    .replace(/\(\?(?:[:=!]|<[=!]|<[^>]*>)/g, '(');

const isTame = (source: string): boolean => {
  const plain = skeleton(source);
  const repeat = '(?:[*+]|\\{\\d+,\\d*\\})';
  const hasNested = new RegExp(`[*+}|][^()]*\\)+${repeat}|\\)${repeat}[^()]*\\)${repeat}`).test(plain);
  return !hasNested && (plain.match(new RegExp(repeat, 'g')) ?? []).length <= maxUnbounded;
};

const compileRegex = (pattern: string): RegExp | string => {
  if (pattern.length > maxPatternLength) return `the pattern is longer than ${maxPatternLength} characters`;
  const { source, flags } = translate(pattern);
  const linear = tryCompile(source, `${flags}l`);
  if (linear) return linear;
  const plain = tryCompile(source, flags);
  if (!plain) return 'the pattern is not a regular expression this server can read';
  return isTame(source)
    ? plain
    : 'the pattern could take too long: it combines look-around, back-references or flags with nested or many repetitions';
};

/** The filter, or why the request cannot be served. */
export const compileFilter = (request: FilterRequest): Filter | string => {
  const subject = (event: StoredEvent): string => (request.on === 'stream' ? event.stream : event.type);
  const { prefixes } = request;
  if (prefixes.length > 0) return (event) => prefixes.some((prefix) => subject(event).startsWith(prefix));
  if (request.regex === '') return 'a filter needs a prefix or a pattern';
  const regex = compileRegex(request.regex);
  return typeof regex === 'string' ? regex : (event) => regex.test(subject(event));
};
