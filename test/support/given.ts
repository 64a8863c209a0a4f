/**
 * Specifications of deciders: given facts, when a command, then events, a refusal or nothing.
 * Called by test/domain/. Everything handed to the domain is deep-frozen, so a mutation throws.
 */
import assert from 'node:assert/strict';
import type { Decider, Fact } from '../../domain/decider.ts';
import { isRefusal, type RefusalCode } from '../../domain/refusals.ts';

type AnyEvent = { readonly type: string; readonly data: unknown };

/** Time of facts that do not say when they happened. */
export const longAgo = '2026-01-01T00:00:00.000Z';

/** Freezes a value and all it holds. */
export const frozen = <T>(value: T): T => {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value;
  for (const item of value instanceof Map ? value.values() : Object.values(value)) frozen(item);
  return Object.freeze(value);
};

/** Folds events onto a state, one by one, everything frozen. */
export const foldOn = <State, Command, Event extends AnyEvent>(
  decider: Decider<State, Command, Event>,
  state: State,
  events: readonly (Event | Fact<Event>)[],
  at = longAgo,
): State =>
  events.reduce<State>(
    (folded, event) =>
      frozen(decider.evolve(folded, frozen({ ...event, at: 'at' in event ? event.at : at }) as Fact<Event>)),
    frozen(state),
  );

/** Decides on a frozen state and asserts what holds of every decision: its events fit their schemas, as JSON too. */
export const decideOn = <State, Command, Event extends AnyEvent>(
  decider: Decider<State, Command, Event>,
  state: State,
  command: Command,
): ReturnType<Decider<State, Command, Event>['decide']> => {
  const decided = decider.decide(frozen(command), frozen(state));
  if (isRefusal(decided)) return decided;
  for (const event of decided) {
    const schema = decider.events.schemas[event.type];
    assert.ok(schema, `${event.type} has no schema`);
    assert.deepEqual(
      schema.parse(JSON.parse(JSON.stringify(event.data))),
      JSON.parse(JSON.stringify(event.data)),
    );
  }
  return decided;
};

/** One specification. The `events` are compared whole. */
export interface Accepted<Command, Event> {
  readonly given: readonly (Event | Fact<Event>)[];
  readonly when: Command;
  readonly events: readonly Event[];
  /** Why the same command, decided again, yields events again. */
  readonly again?: string;
}

/** What a command is refused for, and the input field that the refusal names. */
export interface Refused<Command, Event> {
  readonly given: readonly (Event | Fact<Event>)[];
  readonly when: Command;
  readonly refused: RefusalCode;
  readonly field?: string;
}

/** The specifications of one command; `refuses` may say instead why it is never refused. */
export interface CommandCases<Command, Event> {
  readonly accepts: readonly Accepted<Command, Event>[];
  readonly refuses: readonly Refused<Command, Event>[] | string;
}

/** A table with the cases of every command: one that is missing does not compile. */
export type Specification<Command extends { readonly type: string }, Event> = {
  readonly [Type in Command['type']]: CommandCases<Extract<Command, { readonly type: Type }>, Event>;
};

/**
 * The cases of a decider as named tests: each command accepted, repeated (nothing happens) and refused. The test
 * file registers them itself, since the runner counts tests by the file that does.
 */
export const casesOf = <State, Command extends { readonly type: string }, Event extends AnyEvent>(
  decider: Decider<State, Command, Event>,
  specification: Specification<Command, Event>,
): [name: string, run: () => void][] => {
  const all = Object.entries(specification) as [string, CommandCases<Command, Event>][];
  return all.flatMap(([type, { accepts, refuses }]) => {
    assert.ok(accepts.length > 0 && refuses.length > 0, `${type} needs cases`);
    return [
      ...accepts.map(({ given, when, events, again }, index): [string, () => void] => [
        `${type} is accepted (${index + 1}), and repeated changes nothing`,
        () => {
          const state = foldOn(decider, decider.initial, given);
          assert.deepEqual(decideOn(decider, state, when), events);
          const at = 'now' in when ? String(when.now) : longAgo;
          const repeated = decideOn(decider, foldOn(decider, state, events, at), when);
          if (again) assert.ok(!isRefusal(repeated) && repeated.length > 0, again);
          else assert.deepEqual(repeated, []);
        },
      ]),
      ...(typeof refuses === 'string' ? [] : refuses).map(
        ({ given, when, refused, field }, index): [string, () => void] => [
          `${type} is refused (${index + 1}): ${refused}`,
          () => {
            const decided = decideOn(decider, foldOn(decider, decider.initial, given), when);
            assert.ok(isRefusal(decided), `accepted: ${JSON.stringify(decided)}`);
            assert.deepEqual([decided.refused, decided.field], [refused, field]);
          },
        ],
      ),
    ];
  });
};
