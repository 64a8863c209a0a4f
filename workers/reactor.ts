/**
 * Follows the log and turns events into jobs: at least once in (the checkpoint comes after the jobs), once out (jobs
 * are known by the event's id). One process reacts at a time. Called by main.ts.
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { Client } from 'pg';
import type { Deps } from '../platform/deps.ts';
import { MusterError } from '../platform/errors.ts';
import { requireLogReaches } from '../platform/log-end.ts';
import { pauseBefore } from './errors.ts';
import type { JobQueues } from './jobs.ts';
import { react, reactedCategories } from './react.ts';
import { asSoleHolder } from './sole-holder.ts';

const batchSize = 500;
/** Outages after which the pause does not grow any more: half a minute. */
const longestPauseStep = 6;

/** A running reactor. `failed` resolves when it cannot go on: an event that it cannot read, or a bug. */
export interface Reactor {
  readonly failed: Promise<Error>;
  stop(): Promise<void>;
}

// A checkpoint that is lost in a crash costs nothing but a repetition, so it need not wait for the disk.
const prepare = `set synchronous_commit = off;
  create schema if not exists workers;
  create table if not exists workers.checkpoints (name text primary key, position bigint not null)`;

const readCheckpoint = async (session: Client): Promise<bigint | undefined> => {
  const { rows } = await session.query<{ position: string }>(
    `select position from workers.checkpoints where name = 'reactor'`,
  );
  return rows[0] && BigInt(rows[0].position);
};

const saveCheckpoint = (session: Client, position: bigint): Promise<unknown> =>
  session.query(
    `insert into workers.checkpoints values ('reactor', $1)
     on conflict (name) do update set position = excluded.position`,
    [position.toString()],
  );

/** Outages pass; anything else, such as an event that cannot be read, would meet the reactor again for ever. */
const passes = (error: unknown): boolean => !(error instanceof MusterError) || error.retryable;

/** A failure of `react` itself: a bug, which repeating the event would only repeat. */
const asBug = (cause: unknown, eventId: string): MusterError =>
  new MusterError('internal', `reacting to event ${eventId} failed`, { cause });

const requestsOf = (events: Parameters<typeof react>[0][]) =>
  events.flatMap((event) => {
    try {
      return react(event);
    } catch (cause) {
      throw asBug(cause, event.id);
    }
  });

/** Starts reacting from the last checkpoint, or from the beginning of the log when there is none. */
export const startReactor = (
  { store, databaseUrl, log }: Pick<Deps, 'store' | 'databaseUrl' | 'log'>,
  queues: Pick<JobQueues, 'add'>,
): Reactor => {
  const stopping = new AbortController();
  let outages = 0;

  const follow = async (session: Client, signal: AbortSignal): Promise<void> => {
    await session.query(prepare);
    const afterPosition = await readCheckpoint(session);
    if (afterPosition !== undefined) await requireLogReaches(store, afterPosition, 'the workers');
    log.info({ afterPosition: String(afterPosition ?? 'start') }, 'reacting');
    const batches = store.follow({
      afterPosition,
      categories: reactedCategories,
      maxBatch: batchSize,
      signal,
    });
    for await (const { events, position } of batches) {
      outages = 0;
      if (events.length === 0) continue;
      await queues.add(requestsOf([...events]));
      await saveCheckpoint(session, position);
    }
    if (!stopping.signal.aborted)
      throw new MusterError('dependency-unavailable', 'the session that holds the reactor lock ended');
  };

  const run = async (): Promise<Error | undefined> => {
    while (!stopping.signal.aborted) {
      try {
        await asSoleHolder(databaseUrl, 'reactor', stopping.signal, follow);
      } catch (error) {
        if (stopping.signal.aborted) break;
        if (!passes(error)) {
          log.fatal({ err: error }, 'the reactor cannot go on');
          return error as Error;
        }
        outages = Math.min(outages + 1, longestPauseStep);
        log.warn({ err: error, outages }, 'the reactor starts over');
        await pause(pauseBefore(outages, error, Math.random()), undefined, { signal: stopping.signal }).catch(
          () => {},
        );
      }
    }
    return undefined;
  };

  const ended = run();
  return {
    failed: new Promise((resolve) => {
      ended.then((error) => error && resolve(error), resolve);
    }),
    async stop() {
      stopping.abort();
      await ended;
    },
  };
};
