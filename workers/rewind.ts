/**
 * What a restore of the log needs to know of the workers, and how they are taken back to where it ends.
 * Called by cli/eventstore/restore.ts while no server runs.
 */
import type { Sql } from '../platform/sql.ts';

/** The position up to which events were turned into jobs; undefined when none ever were. */
export const workersPosition = async (sql: Sql): Promise<bigint | undefined> => {
  const [table] = await sql<{ found: string | null }[]>`
    select to_regclass('workers.checkpoints')::text as found`;
  if (!table?.found) return undefined;
  const [row] = await sql<
    { position: bigint | null }[]
  >`select max(position) as position from workers.checkpoints`;
  return row?.position ?? undefined;
};

/** Goes on behind `position` at the latest: what is before it was reacted to already, and is not again. */
export const rewindWorkers = async (sql: Sql, position: bigint): Promise<void> => {
  if ((await workersPosition(sql)) === undefined) return;
  await sql`update workers.checkpoints set position = least(position, ${position.toString()}::bigint)`;
};

/** Forgets how far events were turned into jobs: they were those of another log. */
export const forgetWorkersPosition = async (sql: Sql): Promise<void> => {
  if ((await workersPosition(sql)) !== undefined) await sql`delete from workers.checkpoints`;
};
