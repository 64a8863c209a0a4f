/**
 * The shape of every aggregate: facts, how state folds from them, and how a command is decided.
 * Implemented by domain/<noun>/; run by platform/handle.ts.
 */
import type { z } from 'zod';
import type { Refusal } from './refusals.ts';

/** Schemas of a category's events by event type: the current shape of `data`. */
export type EventSchemas = Readonly<Record<string, z.ZodType>>;

/** Turns the `data` of an older schema version into the next version's. */
export type Upcast = (data: Record<string, unknown>) => Record<string, unknown>;

/**
 * The facts of one category: schemas, and upcasts by event type. `upcasts.DeviceEnrolled[0]` lifts version 1
 * to 2, and so on; the current schema version of an event is the number of its upcasts plus one.
 */
export interface EventCatalogue<Schemas extends EventSchemas = EventSchemas> {
  readonly category: string;
  readonly schemas: Schemas;
  readonly upcasts: Readonly<Partial<Record<keyof Schemas, readonly Upcast[]>>>;
}

/** Declares the facts of a category. */
export const defineEvents = <const Schemas extends EventSchemas>(
  category: string,
  schemas: Schemas,
  upcasts: Readonly<Partial<Record<keyof Schemas, readonly Upcast[]>>> = {} as Readonly<
    Partial<Record<keyof Schemas, readonly Upcast[]>>
  >,
): EventCatalogue<Schemas> => ({ category, schemas, upcasts });

/** The union of a catalogue's events: `{ type, data }`. */
export type EventOf<Catalogue extends EventCatalogue> = {
  [Type in keyof Catalogue['schemas'] & string]: {
    readonly type: Type;
    readonly data: z.infer<Catalogue['schemas'][Type]>;
  };
}[keyof Catalogue['schemas'] & string];

/** An event that happened: with the server time (ISO 8601, UTC) it was decided at. */
export type Fact<Event> = Event & { readonly at: string };

/** What deciding yields: events to append (none when the command changes nothing) or a refusal. */
export type Decision<Event> = readonly Event[] | Refusal;

/**
 * One aggregate. `evolve` never mutates and has a case for each event; `decide` has no clock and no randomness:
 * times and new ids arrive in the command. Deciding an accepted command again yields no events.
 */
export interface Decider<State, Command, Event extends { readonly type: string; readonly data: unknown }> {
  readonly events: EventCatalogue;
  /** Raised whenever the shape of `State` changes, so that stored snapshots of the old shape are ignored. */
  readonly stateVersion: number;
  /** A snapshot is stored whenever an aggregate has this many events more than its last one: 100 unless said here. */
  readonly snapshotEvery?: number;
  readonly initial: State;
  readonly evolve: (state: State, fact: Fact<Event>) => State;
  readonly decide: (command: Command, state: State) => Decision<Event>;
}

/** Exhaustiveness witness: compiles only when every case was handled. */
export const never = (value: never): never => {
  throw new TypeError(`unhandled case ${JSON.stringify(value)}`);
};
