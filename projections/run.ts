/**
 * Follows the log and applies it to every projection: rows and checkpoints of a batch in one transaction, so that it
 * can be killed anywhere and goes on where it was. Called by main.ts.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { tenantEvents } from '../domain/tenant/tenant.ts';
import type { Deps } from '../platform/deps.ts';
import { MusterError } from '../platform/errors.ts';
import type { StoredEvent } from '../platform/event-store.ts';
import { requireLogReaches } from '../platform/log-end.ts';
import { type Transaction, transaction } from '../platform/sql.ts';
import { takeLead } from './lead.ts';
import { type Projection, schemaOf } from './projection.ts';
import { prepare, swap, tellPosition } from './schema.ts';

/** How the read side stands: `position` is how far every read model has come; `reason` says why it failed. */
export interface ProjectorState {
  readonly status: 'catching-up' | 'live' | 'standby' | 'failed';
  readonly position: bigint;
  readonly reason?: string;
}

type RunDeps = Pick<Deps, 'log' | 'store' | 'sql' | 'databaseUrl'>;

/** A projection at work: its checkpoint, and whether readers see it. */
interface Running {
  readonly projection: Projection;
  position: bigint;
  live: boolean;
}

export interface Run {
  readonly deps: RunDeps;
  readonly projections: readonly Projection[];
  /** Most events in one transaction. */
  readonly maxBatch: number;
  readonly onState: (state: Pick<ProjectorState, 'status'> & { position?: bigint }) => void;
}

const inOrder = (group: readonly Running[]): bigint[] =>
  group.map(({ position }) => position).sort((a, b) => (a < b ? -1 : Number(a > b)));
const least = (group: readonly Running[]): bigint => inOrder(group)[0] ?? -1n;

/** Tenants that were erased, by the operator tenant's record of it. */
const erasedIn = (events: readonly StoredEvent[]): string[] =>
  events.flatMap(({ type, data }) =>
    type === 'TenantErased' ? [(data as { readonly tenantId: string }).tenantId] : [],
  );

/** Deletes every row of a tenant, whatever the projection. */
const eraseTenants = async (tx: Transaction, { tables }: Projection, tenantIds: readonly string[]) => {
  if (tenantIds.length === 0) return;
  for (const { name } of tables)
    await tx`delete from ${tx(name)} where tenant_id in (select jsonb_array_elements_text(${tx.json(tenantIds)}))`;
};

/** Applies events to the projections that do not know them yet; all of it or nothing. */
const project = async (
  { deps }: Run,
  group: readonly Running[],
  events: readonly StoredEvent[],
  position: bigint,
): Promise<void> => {
  const names = group.map(({ projection: { name, version } }) => ({ name, version }));
  await transaction(deps.sql, async (tx) => {
    const path = group.map(({ projection }) => schemaOf(projection)).join(', ');
    const [, rows] = await Promise.all([
      tx.unsafe(`set local search_path to ${path}`),
      tx<{ name: string; position: bigint }[]>`
        select c.name, c.position from read.checkpoints c
        join jsonb_to_recordset(${tx.json(names)}) as k(name text, version int) using (name, version)
        order by c.name for update of c`,
    ]);
    const checkpoints = new Map(rows.map((row) => [row.name, row.position]));
    const applied = await Promise.allSettled(
      group.map(async ({ projection }) => {
        const checkpoint = checkpoints.get(projection.name);
        if (checkpoint === undefined)
          throw new MusterError('dependency-unavailable', `the tables of ${projection.name} were dropped`);
        const news = events.filter(({ position: at }) => at > checkpoint);
        const fresh = news.filter(({ category }) => projection.categories.includes(category));
        if (fresh.length > 0) await projection.apply(tx, fresh);
        // Nothing can follow in the streams of a tenant that is erased: they are closed for good before.
        await eraseTenants(tx, projection, erasedIn(news));
      }),
    );
    // Only once all have ended may the transaction end: none must write behind its back.
    const failure = applied.find((result) => result.status === 'rejected');
    if (failure) throw failure.reason;
    await Promise.all([
      tx`
        update read.checkpoints c set position = greatest(c.position, ${position.toString()}::bigint)
        from jsonb_to_recordset(${tx.json(names)}) as k(name text, version int)
        where c.name = k.name and c.version = k.version`,
      tellPosition(tx),
    ]);
  });
  for (const running of group) if (running.position < position) running.position = position;
};

const goLiveAll = async ({ deps }: Run, group: readonly Running[]): Promise<void> => {
  const built = group.filter(({ live }) => !live);
  if (built.length === 0) return;
  await swap(
    deps.sql,
    built.map(({ projection }) => projection),
  );
  for (const running of built) {
    running.live = true;
    deps.log.info({ projection: running.projection.name, version: running.projection.version }, 'now read');
  }
};

/** Follows the log for a group from its least checkpoint, for ever or until it has caught up. */
const followFor = async (
  run: Run,
  group: readonly Running[],
  options: { signal: AbortSignal; untilCaughtUp: boolean; onCaughtUp: () => void; onBatch: () => void },
): Promise<void> => {
  // Every read model forgets a tenant that is erased, whatever else it follows.
  const categories = [
    ...new Set([tenantEvents.category, ...group.flatMap(({ projection }) => projection.categories)]),
  ];
  const { signal } = options;
  const batches = run.deps.store.follow({
    afterPosition: least(group),
    categories,
    maxBatch: run.maxBatch,
    signal,
  });
  for await (const { events, position, caughtUp } of batches) {
    if (events.length > 0) await project(run, group, events, position);
    if (caughtUp) {
      await goLiveAll(run, group);
      options.onCaughtUp();
    }
    options.onBatch();
    if (caughtUp && options.untilCaughtUp) return;
  }
  signal.throwIfAborted();
};

/** Runs tasks side by side; the first that ends, well or badly, ends the others. */
const untilFirst = async (
  signal: AbortSignal,
  tasks: readonly ((signal: AbortSignal) => Promise<void>)[],
): Promise<void> => {
  const ended = new AbortController();
  const both = AbortSignal.any([signal, ended.signal]);
  const results = await Promise.allSettled(tasks.map((task) => task(both).finally(() => ended.abort())));
  signal.throwIfAborted();
  const failure = results.find(
    (result) => result.status === 'rejected' && !(result.reason as Error)?.name?.includes('Abort'),
  );
  if (failure?.status === 'rejected') throw failure.reason;
};

/**
 * Projects until `signal` aborts or something fails. Projections that are behind the others, such as a new version,
 * catch up on a subscription of their own, so that the others keep up meanwhile; then all go on together.
 */
const followAll = async (run: Run, signal: AbortSignal): Promise<void> => {
  const checkpoints = await prepare(run.deps.sql, run.projections);
  const all: Running[] = run.projections.map((projection) => {
    const checkpoint = checkpoints.get(projection.name);
    return { projection, position: checkpoint?.position ?? -1n, live: checkpoint?.live ?? false };
  });
  const newest = inOrder(all).at(-1) ?? -1n;
  await requireLogReaches(run.deps.store, newest, 'the read models');
  const tell = (status: 'catching-up' | 'live') => run.onState({ status, position: least(all) });
  tell('catching-up');
  const behind = all.filter(({ position }) => position < newest);
  const quiet = { onCaughtUp: () => {}, onBatch: () => tell('catching-up') };
  if (behind.length > 0) {
    const ahead = all.filter(({ position }) => position === newest);
    await untilFirst(signal, [
      (both) => followFor(run, behind, { ...quiet, signal: both, untilCaughtUp: true }),
      (both) => followFor(run, ahead, { ...quiet, signal: both, untilCaughtUp: false }),
    ]);
  }
  let status: 'catching-up' | 'live' = 'catching-up';
  await followFor(run, all, {
    signal,
    untilCaughtUp: false,
    onCaughtUp: () => {
      status = 'live';
    },
    onBatch: () => tell(status),
  });
};

/** PostgreSQL and socket errors after which the same work can succeed later. */
const passing =
  /^(08|53|57P|40001|40P01|55P03|ECONN|ENOENT|ENOTFOUND|EPIPE|ETIMEDOUT|EAI_AGAIN|CONNECT|CONNECTION_)/;
/** The tables were dropped under us: the next attempt creates them again. */
const dropped = /^(42P01|3F000)$/;

const isPassing = (error: unknown): boolean => {
  if (error instanceof MusterError) return error.retryable;
  const { code, message } = error as { code?: string; message?: string };
  return (
    passing.test(code ?? '') ||
    dropped.test(code ?? '') ||
    /^Connection terminated|timeout/.test(message ?? '')
  );
};

const firstPauseMs = 100;
const longestPauseMs = 5000;
/** Failures in a row without any progress after which missing tables are no accident any more. */
const patience = 5;

/** Leads and projects once; returns when the lead is lost. */
const lead = async (run: Run, signal: AbortSignal): Promise<void> => {
  const session = await takeLead(run.deps.databaseUrl, signal, () => run.onState({ status: 'standby' }));
  try {
    await followAll(run, AbortSignal.any([signal, session.lost]));
  } catch (error) {
    if (!session.lost.aborted || signal.aborted) throw error;
    throw new MusterError('dependency-unavailable', 'the session that holds the lead was lost', {
      cause: error,
    });
  } finally {
    await session.close();
  }
};

/**
 * Projects until `signal` aborts; then it resolves. Outages are waited out with growing pauses. It rejects with the
 * first fault that time does not heal, such as `event-unreadable`: everything before that event has been applied.
 */
export const runProjections = async (start: Run, signal: AbortSignal): Promise<void> => {
  let failures = 0;
  let reached = -1n;
  const onState: Run['onState'] = (state) => {
    if (state.position !== undefined && state.position > reached) failures = 0;
    reached = state.position ?? reached;
    start.onState(state);
  };
  let run: Run = { ...start, onState };
  while (!signal.aborted) {
    try {
      await lead(run, signal);
    } catch (err) {
      if (signal.aborted) return;
      const unreadable = err instanceof MusterError && err.code === 'event-unreadable';
      if (unreadable && run.maxBatch > 1) {
        // The events before it came in the same batch: once more, one by one, up to the very event.
        run = { ...run, maxBatch: 1 };
        continue;
      }
      const code = (err as { code?: string }).code ?? '';
      if (!isPassing(err) || (dropped.test(code) && failures >= patience)) throw err;
      const pauseMs = Math.min(longestPauseMs, firstPauseMs * 2 ** failures);
      failures += 1;
      start.deps.log.warn({ err, pauseMs }, 'projector interrupted');
      await sleep(pauseMs, undefined, { signal }).catch(() => {});
    }
  }
};
