/**
 * kill -9 of the event store and of PostgreSQL at random moments under load, many times; then the log is compared with
 * what the writers were told: nothing acknowledged is lost, nothing is there twice, the order is kept.
 * Called by main.ts (`npm run soak`) and, with few cycles, by soak.alone.test.ts.
 */
import { randomInt, randomUUID } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { EventStoreDBClient, jsonEvent } from '@eventstore/db-client';
import { freePort } from '../../cli/free-port.ts';
import { type Command, startCommand } from '../support/muster.ts';
import { type Follower, followThrough } from './follow.ts';
import { habits, type Journal, keepAppending } from './load.ts';

/** What the comparison found. Each fault is one line of text; none means that the store kept its word. */
export interface Outcome {
  readonly cycles: number;
  readonly acknowledged: number;
  /** Appends repeated because their outcome was unknown. */
  readonly repeated: number;
  readonly faults: readonly string[];
}

const victims = ['event store', 'postgres', 'both'] as const;
/** Longest time between new acknowledgements and the next kill, in ms. */
const maxLuckMs = 400;
/** Acknowledgements that must have come before the next kill. */
const betweenKills = 40;
/** PostgreSQL may end this often before its supervisor, which also dies now and then, has to be replaced. */
const maxPostgresKills = 12;

const startStore = async (dataDir: string, port: number): Promise<Command> => {
  const store = startCommand(['eventstore', '--data-dir', dataDir, '--port', String(port)]);
  await store.line(/^Event store esdb:/);
  return store;
};

/** Process id of the postmaster (first line of postmaster.pid), undefined while there is none. */
const postgresPid = (dataDir: string): number | undefined => {
  try {
    return Number(readFileSync(join(dataDir, 'postgres', 'postmaster.pid'), 'utf8').split('\n')[0]);
  } catch {
    return undefined;
  }
};

const kill = (pid: number | undefined): void => {
  if (pid === undefined) return;
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It ended by itself between the look at its file and the signal.
  }
};

const compare = async (client: EventStoreDBClient, journal: Journal): Promise<string[]> => {
  const faults: string[] = journal.conflict === undefined ? [] : [journal.conflict];
  let at = 0;
  const stored = new Set<string>();
  for await (const { event } of client.readStream(journal.stream)) {
    if (!event) continue;
    const expected = journal.acknowledged[at];
    const place = `${journal.stream}@${event.revision}`;
    if (!expected) faults.push(`${place} was never acknowledged`);
    else if (expected.id !== event.id || expected.revision !== event.revision)
      faults.push(`${place} holds ${event.id}, acknowledged was ${expected.id} at ${expected.revision}`);
    if (stored.has(event.id)) faults.push(`${place} repeats ${event.id}`);
    stored.add(event.id);
    at += 1;
  }
  const lost = journal.acknowledged.length - at;
  if (lost > 0) faults.push(`${journal.stream} lost its last ${lost} acknowledged events`);
  const disordered = journal.positions.some(
    (position, n) => n > 0 && position <= (journal.positions[n - 1] as bigint),
  );
  if (disordered) faults.push(`${journal.stream} was told positions that do not increase`);
  return faults;
};

const compareFollower = async (
  client: EventStoreDBClient,
  prefix: string,
  follower: Follower,
): Promise<string[]> => {
  let at = 0;
  const faults: string[] = [];
  for await (const { event } of client.readAll()) {
    if (!event?.streamId.startsWith(prefix)) continue;
    const seen = follower.seen[at];
    if (seen?.id !== event.id && faults.length < 10)
      faults.push(`the follower saw ${seen?.id} where the log has ${event.id} (${event.position?.commit})`);
    at += 1;
  }
  if (follower.seen.length !== at) faults.push(`the follower saw ${follower.seen.length} of ${at} events`);
  return faults;
};

/** Runs `cycles` kills over a new data folder. `onCycle` hears of each. */
export const soak = async (
  cycles: number,
  onCycle: (cycle: number, victim: string, acknowledged: number) => void,
): Promise<Outcome> => {
  const dataDir = mkdtempSync(join(tmpdir(), 'muster-soak-'));
  const port = await freePort();
  let store = await startStore(dataDir, port);
  const client = EventStoreDBClient.connectionString(`esdb://127.0.0.1:${port}?tls=false`);
  const prefix = `soak-${randomUUID()}`;
  const follower = followThrough(client, prefix);
  let isOver = false;
  let acknowledgements = 0;
  let wake: () => void = () => {};
  const journals = habits.map(
    ({ name }): Journal => ({
      stream: `${prefix}_${name}`,
      acknowledged: [],
      positions: [],
      repeated: 0,
      conflict: undefined,
    }),
  );
  const writers = habits.map((habit, index) =>
    keepAppending(
      client,
      habit,
      journals[index] as Journal,
      () => isOver,
      () => {
        acknowledgements += 1;
        wake();
      },
    ),
  );
  const acknowledged = async (count: number): Promise<void> => {
    for (const until = acknowledgements + count; acknowledgements < until; )
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
  };
  try {
    let postgresKills = 0;
    for (let cycle = 1; cycle <= cycles; cycle += 1) {
      await acknowledged(betweenKills);
      await delay(randomInt(maxLuckMs));
      const chosen = victims[randomInt(victims.length)] as (typeof victims)[number];
      const victim = postgresKills >= maxPostgresKills ? 'event store' : chosen;
      if (victim !== 'event store') kill(postgresPid(dataDir));
      if (victim === 'postgres') postgresKills += 1;
      else {
        postgresKills = 0;
        await store.stop('SIGKILL');
        store = await startStore(dataDir, port);
      }
      onCycle(cycle, victim, acknowledgements);
    }
    await acknowledged(betweenKills);
    isOver = true;
    await Promise.all(writers);
    const total = journals.reduce((sum, journal) => sum + journal.acknowledged.length, 0);
    // Lost events never reach the follower; a last one that is not lost shows that it has come to the end.
    const end = jsonEvent({ id: randomUUID(), type: 'SoakEnded', data: {} });
    await client.appendToStream(`${prefix}_end`, end);
    await follower.saw(end.id as string);
    const faults: string[] = [];
    for (const journal of journals) faults.push(...(await compare(client, journal)));
    faults.push(...(await compareFollower(client, prefix, follower)));
    const repeated = journals.reduce((sum, journal) => sum + journal.repeated, 0);
    return { cycles, acknowledged: total, repeated, faults };
  } finally {
    isOver = true;
    await follower.stop();
    await client.dispose();
    await store.stop();
    rmSync(dataDir, { recursive: true, force: true });
  }
};
