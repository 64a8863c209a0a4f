/**
 * Read model of the tenants' directories: when each is to be synced next, so that one job finds those that are due.
 * Called by workers/review-directories.ts; settings are read from the write side.
 */
import type { Fact } from '../domain/decider.ts';
import {
  type DirectoryEvent,
  type DirectoryState,
  evolveDirectory,
  initialDirectory,
} from '../domain/directory/directory.ts';
import type { TenantId } from '../domain/ids.ts';
import type { Sql } from '../platform/sql.ts';
import { factOf, foldedColumns, foldRows } from './fold.ts';
import { asOperator } from './operator.ts';
import { key, type Projection } from './projection.ts';

export const directoriesProjection: Projection = {
  name: 'directories',
  version: 1,
  categories: ['directory'],
  tables: [
    {
      name: 'directories',
      columns: `status text not null, sync_due_at ${key}, ${foldedColumns}, primary key (tenant_id)`,
      indexes: ['(sync_due_at, tenant_id) where sync_due_at is not null'],
      operator: { view: 'directory_syncs', columns: ['tenant_id', 'sync_due_at'] },
    },
  ],
  apply: (tx, events) =>
    foldRows<DirectoryState>(tx, events, {
      table: 'directories',
      evolve: (state, event) =>
        evolveDirectory(state ?? initialDirectory, factOf<Fact<DirectoryEvent>>(event)),
      columns: (state) => ({
        status: state.status,
        sync_due_at: state.status === 'configured' ? state.syncDueAt : null,
      }),
    }),
};

/** A tenant whose users are to be synced with its directory. */
export interface DueDirectory {
  readonly tenantId: TenantId;
  readonly syncDueAt: string;
}

/** Across tenants, for the scheduled job: directories due at `now` (ISO 8601, UTC), the longest due first. */
export const listDueDirectories = (sql: Sql, now: string, limit: number): Promise<readonly DueDirectory[]> =>
  asOperator(
    sql,
    (tx) => tx<DueDirectory[]>`
      select tenant_id as "tenantId", sync_due_at as "syncDueAt" from read.directory_syncs
      where sync_due_at <= ${now} order by sync_due_at, tenant_id limit ${limit}`,
  );
