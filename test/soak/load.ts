/**
 * Writers that never give an event up, and the journal of what they were told: the load of soak.ts.
 * Each writer has a stream of its own and one append on its way at a time; an append whose outcome is unknown is
 * repeated with the same ids until it is acknowledged.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import {
  ANY,
  type EventStoreDBClient,
  jsonEvent,
  NO_STREAM,
  WrongExpectedVersionError,
} from '@eventstore/db-client';

/** What a writer was told about one event. */
export interface Acknowledged {
  readonly id: string;
  readonly revision: bigint;
}

/** One writer's stream and journal, in the order of its appends. */
export interface Journal {
  readonly stream: string;
  readonly acknowledged: Acknowledged[];
  /** Positions named by the answers, one an append. */
  readonly positions: bigint[];
  /** Appends that had to be repeated. */
  repeated: number;
  /** Set when the stream was not where the last answer had left it: something acknowledged is gone. */
  conflict: string | undefined;
}

/** How a writer appends. */
export interface Habit {
  readonly name: string;
  /** Events an append. */
  readonly count: (turn: number) => number;
  readonly payloadBytes: number;
  /** Checks the expected revision, or takes any. */
  readonly isExact: boolean;
  /** Call options; credentials choose the Append path. */
  readonly options: object;
}

const appendPath = { credentials: { username: 'soak', password: 'soak' } };

/** Single and many events, small and large, both expected revisions, both gRPC paths. */
export const habits: readonly Habit[] = [
  { name: 'single', count: () => 1, payloadBytes: 200, isExact: true, options: {} },
  { name: 'single-any', count: () => 1, payloadBytes: 200, isExact: false, options: {} },
  { name: 'many', count: (turn) => 1 + (turn % 20), payloadBytes: 400, isExact: true, options: {} },
  { name: 'many-any', count: (turn) => 1 + (turn % 20), payloadBytes: 400, isExact: false, options: {} },
  { name: 'large', count: () => 1, payloadBytes: 100_000, isExact: true, options: {} },
  { name: 'append-path', count: () => 1, payloadBytes: 200, isExact: true, options: appendPath },
  { name: 'append-path-any', count: () => 2, payloadBytes: 200, isExact: false, options: appendPath },
];

/** Pause before an append is repeated, so that writers do not spin while the server is away. */
const retryPauseMs = 20;

/** Appends until `isOver`; every event of the journal was acknowledged. */
export const keepAppending = async (
  client: EventStoreDBClient,
  habit: Habit,
  journal: Journal,
  isOver: () => boolean,
  onAcknowledged: () => void,
): Promise<void> => {
  const filler = 'x'.repeat(habit.payloadBytes);
  for (let turn = 0; !isOver(); turn += 1) {
    const last = journal.acknowledged.at(-1)?.revision;
    const events = Array.from({ length: habit.count(turn) }, () =>
      jsonEvent({ id: randomUUID(), type: 'Soaked', data: { filler } }),
    );
    const expectedRevision = habit.isExact ? (last ?? NO_STREAM) : ANY;
    for (let answered = false; !answered; ) {
      try {
        const result = await client.appendToStream(journal.stream, events, {
          expectedRevision,
          ...habit.options,
        });
        answered = true;
        const first = result.nextExpectedRevision - BigInt(events.length - 1);
        for (const [index, { id }] of events.entries())
          journal.acknowledged.push({ id: id as string, revision: first + BigInt(index) });
        journal.positions.push(result.position?.commit ?? -1n);
        onAcknowledged();
      } catch (error) {
        if (error instanceof WrongExpectedVersionError) {
          journal.conflict = `${journal.stream}: ${error.message}`;
          return;
        }
        journal.repeated += 1;
        await delay(retryPauseMs);
      }
    }
  }
};
