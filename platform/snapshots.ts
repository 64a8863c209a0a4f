/**
 * Snapshots of folded aggregates in PostgreSQL, so that a long stream is read from its last snapshot. Derivable:
 * dropping the table costs reads, never facts. Called by platform/handle.ts.
 */
import type { Logger } from './log.ts';
import type { Sql } from './sql.ts';

/** A folded state at a revision, as stored. */
export interface Snapshot {
  readonly state: unknown;
  readonly revision: bigint;
  readonly snapshotRevision: bigint;
}

export interface SnapshotStore {
  /** The last snapshot of a stream that was written for this state version; an outage counts as none. */
  find(stream: string, stateVersion: number): Promise<Snapshot | undefined>;
  /** Stores a snapshot in the background: the caller never waits for it and never fails with it. */
  save(stream: string, stateVersion: number, snapshot: { state: unknown; revision: bigint }): void;
}

/** No snapshots: every load reads the whole stream. */
export const noSnapshots: SnapshotStore = { find: async () => undefined, save: () => {} };

/** Forgets all snapshots of a database: after a restore they may hold what the log no longer says. */
export const forgetSnapshots = async (sql: Sql): Promise<void> => {
  await sql`drop table if exists write_side.snapshots`;
};

/** Opens the snapshot table, creating it when missing. */
export const openSnapshots = async (sql: Sql, log: Logger): Promise<SnapshotStore> => {
  await sql.unsafe(`create schema if not exists write_side;
    create table if not exists write_side.snapshots (
      stream text primary key, state_version int not null, revision bigint not null, state jsonb not null)`);
  return {
    async find(stream, stateVersion) {
      const rows = await sql<{ revision: bigint; state: unknown }[]>`
        select revision, state from write_side.snapshots where stream = ${stream} and state_version = ${stateVersion}
      `.catch((err: unknown) => {
        log.warn({ err, stream }, 'snapshot not read');
        return [];
      });
      const row = rows[0];
      return row && { state: row.state, revision: row.revision, snapshotRevision: row.revision };
    },
    save(stream, stateVersion, { state, revision }) {
      sql`
        insert into write_side.snapshots values (${stream}, ${stateVersion}, ${revision.toString()}::bigint, ${sql.json(state as never)})
        on conflict (stream) do update
          set state_version = excluded.state_version, revision = excluded.revision, state = excluded.state
          where write_side.snapshots.revision < excluded.revision or write_side.snapshots.state_version <> excluded.state_version
      `.catch((err: unknown) => log.warn({ err, stream }, 'snapshot not saved'));
    },
  };
};
