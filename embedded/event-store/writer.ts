/**
 * The one writer: decides in memory, commits in groups, answers only when the group is on disk.
 * Called by the gRPC handlers; feeds recent.ts.
 *
 * Requests are decided in order of arrival per stream, against what was accepted before them. Whatever arrives
 * while a group is being written forms the next group, so one fsync serves as many callers as are waiting.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from '../../platform/log.ts';
import type { Sql } from '../../platform/sql.ts';
import type { Disk } from './disk.ts';
import { sizeOf, ticksPerMs } from './event.ts';
import { type Decision, decideAppend, decideRemoval, type KnownIds } from './expected.ts';
import { type IdMemory, openIdMemory } from './id-memory.ts';
import { type Journal, openJournal } from './journal.ts';
import { factsOf, type Numbers, type Plan, planWrite, type WriteRequest } from './plan.ts';
import type { Recent } from './recent.ts';
import { type Entry, type Pair, type StreamCache, startedOver } from './stream-cache.ts';

/** The answer to a request. `revision` is the stream's last one (-1n: none). */
export type WriteOutcome =
  | { readonly done: true; readonly revision: bigint; readonly position: bigint | undefined }
  | { readonly done: false; readonly because: 'wrong-expected-version'; readonly current: bigint }
  | { readonly done: false; readonly because: 'stream-deleted' | 'access-denied' }
  | { readonly done: false; readonly because: 'unavailable' | 'full' | 'failed'; readonly detail: string };

/** The writer. */
export interface Writer {
  /** Decides and writes; never rejects. A `done` answer is durable. */
  submit(request: WriteRequest): Promise<WriteOutcome>;
  /** `undefined`, or a promise to wait for before submitting more: too much is waiting to be written. */
  room(): Promise<void> | undefined;
  /** Resolves when the database stayed away or another writer took over; the process should then end. */
  readonly failed: Promise<Error>;
  /** Lets the group on its way finish if it soon does, fails the rest with `unavailable`. */
  stop(): Promise<void>;
}

interface Job {
  readonly request: WriteRequest;
  readonly resolve: (outcome: WriteOutcome) => void;
}

interface Item {
  readonly job: Job;
  readonly entry: Entry;
  readonly plan: Plan | undefined;
  readonly after: Pair;
  readonly outcome: WriteOutcome;
  readonly bytes: number;
}

const rememberedIds = 262_144;
/** Ids read back at start: enough to recognise what callers retry after a crash, quick to read. */
const rereadIds = 65_536;
const maxGroupItems = 4_096;
const maxGroupBytes = 8 * 1024 * 1024;
const maxWaitingBytes = 64 * 1024 * 1024;
/** How long a group on its way may take once the writer is to stop; its callers are then told "unavailable". */
const stopPatienceMs = 3_000;
/** How long the database may stay away before the writer gives up. */
const reconnectPatienceMs = 60_000;

const unavailable = (detail: string): WriteOutcome => ({ done: false, because: 'unavailable', detail });
const sqlState = (error: unknown): string => String((error as { code?: unknown }).code ?? '');
/** PostgreSQL's code for a disk without room (disk_full). */
const diskFull = '53100';
/** Out of disk, memory or connections, or an I/O error (classes 53 and 58): no request is to blame. */
const isServerTrouble = (error: unknown): boolean => /^5[38]/.test(sqlState(error));

const groupLength = (queue: readonly Item[], maxItems: number): number => {
  let bytes = 0;
  let length = 0;
  while (length < queue.length && length < maxItems && (length === 0 || bytes < maxGroupBytes)) {
    bytes += (queue[length] as Item).bytes;
    length += 1;
  }
  return length;
};

/** Opens the journal of `databaseUrl` and starts writing. Throws as `openJournal` does. */
export const openWriter = async (
  databaseUrl: string,
  parts: { sql: Sql; cache: StreamCache; recent: Recent; log: Logger; disk?: Disk | undefined },
): Promise<Writer> => {
  const { sql, cache, recent, log, disk } = parts;
  let state: 'up' | 'down' | 'stopped' = 'up';
  let journal: Journal;
  let ids: IdMemory;
  let nextPosition = 1n;
  let nextStreamId = 1;
  let lastCreated = 0n;
  let queue: Item[] = [];
  let waitingBytes = 0;
  const roomWaiters: (() => void)[] = [];
  /** Items of a refused group still to be written one by one, so that only the guilty one fails. */
  let oneByOne = 0;
  let pumping: Promise<void> | undefined;
  let displaced: Job[] | undefined;
  let generation = 0;
  let fail: (error: Error) => void = () => {};
  const failed = new Promise<Error>((resolve) => {
    fail = resolve;
  });

  const adopt = (opened: Journal): void => {
    journal = opened;
    nextPosition = opened.end.position + 1n;
    nextStreamId = opened.end.streamId + 1;
    lastCreated = opened.end.created;
    ids = openIdMemory(rememberedIds);
    for (const one of opened.end.ids) ids.add(one.id, one.stream, one.revision, one.position);
    // Always, because events may have been scavenged while nobody listened.
    recent.reset(opened.end.position);
    opened.onScavenged(recent.forget);
    void opened.lost.then(() => {
      if (state === 'up' && journal === opened) goDown('the connection to PostgreSQL was lost');
    });
  };

  const numbers = (): Numbers => {
    const now = BigInt(Date.now()) * ticksPerMs;
    // Time never runs backwards in the log, whatever the clock does.
    lastCreated = now > lastCreated ? now : lastCreated;
    return {
      position: () => nextPosition++,
      streamId: () => nextStreamId++,
      created: lastCreated,
      eventId: randomUUID,
    };
  };

  const enqueue = (job: Job, entry: Entry, outcome: WriteOutcome, plan?: Plan): void => {
    // An answer may rest on writes that are not durable yet; then it waits in line behind them.
    if (!plan && entry.pending === 0) {
      job.resolve(outcome);
      return;
    }
    const bytes = plan ? plan.rows.reduce((sum, row) => sum + sizeOf(row.event), 0) : 0;
    entry.pending += 1;
    if (plan) {
      entry.next = plan.next;
      for (const { event } of plan.rows) ids.add(event.id, event.stream, event.revision, event.position);
    }
    waitingBytes += bytes;
    queue.push({ job, entry, plan, after: entry.next, outcome, bytes });
    pumping ??= new Promise<void>((resolve) => setImmediate(resolve)).then(pump);
  };

  const decide = (request: WriteRequest, pair: Pair, stored: KnownIds['stored']): Decision => {
    const facts = factsOf(request.stream, pair);
    if (request.kind !== 'append') {
      const isMissing = request.kind === 'delete' && facts.current < 0n && !facts.hasMetadata;
      return isMissing
        ? { do: 'refuse', because: 'wrong-expected-version' }
        : decideRemoval(request.expected, facts);
    }
    const known: KnownIds = {
      remembered: (id) => ids.find(id, request.stream),
      ...(stored ? { stored } : {}),
    };
    return decideAppend(
      request.expected,
      request.events.map((event) => event.id),
      facts,
      known,
    );
  };

  const lookUp = async (job: Job, entry: Entry, from: bigint): Promise<void> => {
    const { request } = job;
    const count = request.kind === 'append' ? request.events.length : 0;
    const startedIn = generation;
    try {
      const rows = await sql<{ revision: bigint; id: string; position: bigint }[]>`
        select e.revision, e.id, e.position from event_store.events e join event_store.streams s on s.id = e.stream
        where s.name = ${request.stream} and e.revision between ${from.toString()} and ${(from + BigInt(count) - 1n).toString()}`;
      if (startedIn !== generation) return enter(job);
      handle(job, entry, new Map(rows.map((row) => [row.revision, row])));
    } catch (error) {
      job.resolve(unavailable((error as Error).message));
    }
  };

  const outcomeOf = (decision: Decision, current: bigint): WriteOutcome => {
    if (decision.do === 'repeat') return { done: true, ...decision.last };
    if (decision.do !== 'refuse') return { done: true, revision: current, position: undefined };
    return decision.because === 'stream-deleted'
      ? { done: false, because: 'stream-deleted' }
      : { done: false, because: 'wrong-expected-version', current };
  };

  const handle = (job: Job, entry: Entry, stored?: KnownIds['stored']): void => {
    const { request } = job;
    if (state !== 'up') {
      job.resolve(unavailable('the event store is not writing'));
      return;
    }
    if (request.may && !request.may(entry.next)) {
      enqueue(job, entry, { done: false, because: 'access-denied' });
      return;
    }
    const decision = decide(request, entry.next, stored);
    if (decision.do === 'look-up') {
      cache.hold(request.stream, lookUp(job, entry, decision.from));
    } else if (decision.do === 'write') {
      const plan = planWrite(request, entry.next, numbers());
      enqueue(job, entry, { done: true, revision: plan.last.revision, position: plan.last.position }, plan);
    } else {
      enqueue(job, entry, outcomeOf(decision, factsOf(request.stream, entry.next).current));
    }
  };

  const enter = (job: Job): void => {
    if (state !== 'up') {
      job.resolve(unavailable('the event store is not writing'));
      return;
    }
    const shortage = disk?.shortage();
    if (shortage !== undefined) {
      job.resolve({ done: false, because: 'full', detail: shortage });
      return;
    }
    cache.use(
      job.request.stream,
      (entry) => handle(job, entry),
      (error) => {
        if (error === startedOver && displaced) displaced.push(job);
        else job.resolve(unavailable(error.message));
      },
    );
  };

  const releaseRoom = (): void => {
    if (waitingBytes > maxWaitingBytes / 2) return;
    for (const wake of roomWaiters.splice(0)) wake();
  };

  const commit = async (group: readonly Item[]): Promise<void> => {
    const plans = group.flatMap((item) => item.plan ?? []);
    const rows = plans.flatMap((plan) => plan.rows);
    if (rows.length > 0)
      await journal.insert(
        rows,
        plans.flatMap((plan) => plan.newStreams),
      );
    for (const { entry, after } of group) {
      entry.now = after;
      entry.pending -= 1;
    }
    recent.publish(rows.map((row) => row.event));
    for (const { job, outcome } of group) job.resolve(outcome);
  };

  /** Forgets everything accepted but not durable and returns its jobs in order. */
  const rollBack = (group: readonly Item[]): Job[] => {
    const jobs = [...group, ...queue].map((item) => item.job);
    queue = [];
    waitingBytes = 0;
    generation += 1;
    displaced = [];
    cache.clear();
    nextPosition = recent.last() + 1n;
    ids.forgetFrom(nextPosition);
    jobs.push(...displaced);
    displaced = undefined;
    releaseRoom();
    return jobs;
  };

  const recover = (group: readonly Item[], error: Error): void => {
    const severity = (error as { severity?: string }).severity;
    if (journal.isLost() || severity === undefined || severity === 'FATAL' || severity === 'PANIC') {
      goDown(error.message, group);
      return;
    }
    log.error({ err: error, items: group.length }, 'a group of appends was refused by PostgreSQL');
    const jobs = rollBack(group);
    const guilty = isServerTrouble(error) ? jobs.length : group.length === 1 ? 1 : 0;
    const because = sqlState(error) === diskFull ? 'full' : 'failed';
    for (const job of jobs.splice(0, guilty)) job.resolve({ done: false, because, detail: error.message });
    oneByOne = group.length > 1 ? group.length : oneByOne;
    for (const job of jobs) enter(job);
  };

  const pump = async (): Promise<void> => {
    while (queue.length > 0 && state === 'up') {
      const group = queue.splice(0, groupLength(queue, oneByOne > 0 ? 1 : maxGroupItems));
      waitingBytes -= group.reduce((sum, item) => sum + item.bytes, 0);
      oneByOne = Math.max(0, oneByOne - group.length);
      try {
        await commit(group);
      } catch (error) {
        recover(group, error as Error);
      }
      releaseRoom();
    }
    pumping = undefined;
  };

  const reconnect = async (): Promise<void> => {
    const until = performance.now() + reconnectPatienceMs;
    for (let pauseMs = 50; ; pauseMs = Math.min(pauseMs * 2, 1_000)) {
      try {
        const opened = await openJournal(databaseUrl, rereadIds);
        if (state === 'stopped') return opened.close();
        cache.clear();
        state = 'up';
        adopt(opened);
        log.info({ position: opened.end.position.toString() }, 'the event store writes again');
        return;
      } catch (error) {
        if (state === 'stopped') return;
        if (performance.now() > until) return fail(error as Error);
        log.debug({ err: error }, 'the event store cannot write yet');
        await delay(pauseMs);
      }
    }
  };

  const goDown = (reason: string, group: readonly Item[] = []): void => {
    const wasUp = state === 'up';
    if (wasUp) state = 'down';
    for (const job of rollBack(group)) job.resolve(unavailable(reason));
    if (!wasUp) return;
    log.warn({ reason }, 'the event store stopped writing');
    void journal.close().catch(() => {});
    void reconnect();
  };

  adopt(await openJournal(databaseUrl, rereadIds));
  return {
    failed,
    submit: (request) => new Promise((resolve) => enter({ request, resolve })),
    room: () =>
      waitingBytes > maxWaitingBytes ? new Promise((resolve) => roomWaiters.push(resolve)) : undefined,
    stop: async () => {
      const wasUp = state === 'up';
      state = 'stopped';
      const impatience = setTimeout(() => void journal.close().catch(() => {}), stopPatienceMs);
      await pumping;
      clearTimeout(impatience);
      for (const job of rollBack([])) job.resolve(unavailable('the event store is shutting down'));
      if (wasUp) await journal.close().catch(() => {});
    },
  };
};
