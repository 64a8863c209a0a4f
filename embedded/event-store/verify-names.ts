/**
 * Names of streams for the verification, read apart from the events: a damaged page of names must not make the events
 * of its streams unreadable. Called by verify.ts.
 */
import type { Sql } from '../../platform/sql.ts';
import { isDamage, withoutHoles } from './log-table.ts';

/** Why a name is missing: there is none, or PostgreSQL cannot read it. */
export type Nameless = { readonly problem: string };

/** The names, looked up for a page of events at a time. */
export interface Names {
  load(ids: readonly bigint[]): Promise<void>;
  /** After `load`. */
  of(id: bigint): string | Nameless;
}

const remembered = 100_000;
/** Names that are looked for one by one; beyond, all that stand together with an unreadable one count as such. */
const maxNarrowed = 1_000;

/** Names out of `event_store.streams`. */
export const openNames = (sql: Sql): Names => {
  const names = new Map<bigint, string | Nameless>();
  let narrowed = 0;

  const read = async (ids: readonly bigint[]): Promise<void> => {
    try {
      const rows = await sql<{ id: bigint; name: string }[]>`
        select id, name from event_store.streams where id = any(${sql.array(ids.map(String), 1016)}::bigint[])`;
      for (const id of ids) names.set(id, { problem: 'its stream has no name' });
      for (const row of withoutHoles(rows)) names.set(row.id, row.name);
    } catch (error) {
      if (!isDamage(error)) throw error;
      if (ids.length > 1 && narrowed < maxNarrowed) {
        await read(ids.slice(0, ids.length >> 1));
        await read(ids.slice(ids.length >> 1));
        return;
      }
      narrowed += 1;
      const problem = `the name of its stream cannot be read: ${(error as Error).message}`;
      for (const id of ids) names.set(id, { problem });
    }
  };

  return {
    load: async (ids) => {
      if (names.size > remembered) names.clear();
      const unknown = [...new Set(ids)].filter((id) => !names.has(id));
      if (unknown.length > 0) await read(unknown);
    },
    of: (id) => names.get(id) ?? { problem: 'its stream has no name' },
  };
};
