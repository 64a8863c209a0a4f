/**
 * Versions of what is revised under a version number: policies and compliance policies.
 * Called by projections/policies.ts and compliance-policies.ts.
 */
import type { StoredEvent } from '../platform/event-store.ts';
import type { Transaction } from '../platform/sql.ts';
import { saveRows } from './fold.ts';
import { key } from './projection.ts';

/** Columns of a table of versions; `id` is the column of the owner's id. */
export const versionColumns = (id: string): string =>
  `${id} ${key} not null, version bigint not null, settings jsonb not null, at ${key} not null, actor jsonb not null,
    primary key (tenant_id, ${id}, version)`;

/** How a version's row is read. */
export const versionSelect = { version: 'version::int', settings: 'settings', at: 'at', actor: 'actor' };

/** Stores the version that each creating or revising event made; a version never changes afterwards. */
export const saveVersions = (
  tx: Transaction,
  table: string,
  id: string,
  events: readonly StoredEvent[],
): Promise<void> =>
  saveRows(
    tx,
    table,
    [id, 'version'],
    events.flatMap(({ tenantId, entityId, data, at, metadata }) => {
      const { version = 1, settings } = data as { version?: number; settings?: unknown };
      if (settings === undefined) return [];
      return [{ tenant_id: tenantId, [id]: entityId, version, settings, at, actor: metadata.actor }];
    }),
  );
