/**
 * What a restore of the log needs to know of the read models, and how they are forgotten; the next start rebuilds them.
 * Called by cli/eventstore/restore.ts while no server runs.
 */
import { type Sql, transaction } from '../platform/sql.ts';
import { schemaOf } from './projection.ts';

/** The furthest position that any read model was projected to; undefined when there are none. */
export const readModelsPosition = async (sql: Sql): Promise<bigint | undefined> => {
  const [table] = await sql<
    { found: string | null }[]
  >`select to_regclass('read.checkpoints')::text as found`;
  if (!table?.found) return undefined;
  const [row] = await sql<
    { position: bigint | null }[]
  >`select max(position) as position from read.checkpoints`;
  return row?.position ?? undefined;
};

/** Drops every read model and its checkpoint, in one transaction. */
export const dropReadModels = (sql: Sql): Promise<void> =>
  transaction(sql, async (tx) => {
    const [table] = await tx<
      { found: string | null }[]
    >`select to_regclass('read.checkpoints')::text as found`;
    if (!table?.found) return;
    const versions = await tx<
      { name: string; version: number }[]
    >`select name, version from read.checkpoints`;
    await tx`drop schema read cascade`;
    for (const version of versions) await tx`drop schema if exists ${tx(schemaOf(version))} cascade`;
  });
