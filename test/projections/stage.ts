/**
 * A projector on real servers for a test, and what all read models hold. Called by the tests of projections.
 */

import { readConfig, serverSettings } from '../../platform/config.ts';
import type { Deps } from '../../platform/deps.ts';
import type { StoredEvent } from '../../platform/event-store.ts';
import type { Sql } from '../../platform/sql.ts';
import { openProjectionWaiter } from '../../projections/await.ts';
import { projections as registered } from '../../projections/index.ts';
import { type Projector, type ProjectorOptions, start } from '../../projections/main.ts';
import type { Projection } from '../../projections/projection.ts';

/** Starts a projector as `muster serve` does. */
export const startProjector = (deps: Deps, options: ProjectorOptions = {}): Promise<Projector> =>
  start(readConfig(serverSettings, {}, {}), deps, options);

/** Projects everything up to `position`, then stops. */
export const projectTo = async (
  deps: Deps,
  position: bigint,
  options: ProjectorOptions = {},
): Promise<void> => {
  const projector = await startProjector(deps, options);
  const waiter = await openProjectionWaiter(deps);
  try {
    const reached = await Promise.race([waiter.reached(position, 60_000), projector.failed]);
    if (!reached)
      throw new Error(`not projected to ${position}: ${JSON.stringify(projector.state().status)}`);
  } finally {
    await waiter.close();
    await projector.stop();
  }
};

/** Every row of every read model, in an order of its own. */
export const dump = async (
  sql: Sql,
  projections: readonly Projection[] = registered,
): Promise<Record<string, string[]>> => {
  const tables = projections.flatMap((projection) => projection.tables.map(({ name }) => name));
  const held: Record<string, string[]> = {};
  for (const table of tables) {
    const rows = await sql<{ row: unknown }[]>`select to_jsonb(t) as row from read.${sql(table)} t`;
    held[table] = rows.map(({ row }) => JSON.stringify(row)).sort();
  }
  return held;
};

/** The whole log. */
export const wholeLog = async (deps: Deps): Promise<StoredEvent[]> => {
  const events: StoredEvent[] = [];
  for await (const event of deps.store.readAll()) events.push(event);
  return events;
};

/** Forgets every read model, as an operator does who wants them rebuilt. */
export const dropReadModels = async (sql: Sql): Promise<void> => {
  const schemas = await sql<{ name: string }[]>`
    select nspname as name from pg_namespace where nspname = 'read' or nspname ~ '_v[0-9]+$'`;
  for (const { name } of schemas) await sql`drop schema ${sql(name)} cascade`;
};
