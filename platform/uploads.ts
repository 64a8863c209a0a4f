/**
 * Files that were uploaded to be imported, until they are: in PostgreSQL beside the snapshots, since they may hold
 * anything and must be able to go. Called by api/ (which takes them) and workers/ (which work them off).
 */
import { z } from 'zod';
import type { ImportId, TenantId } from '../domain/ids.ts';
import { importKind, importMode } from '../domain/import/import.ts';
import { line } from '../domain/text.ts';
import { type Clock, isoTime } from './clock.ts';
import { MusterError } from './errors.ts';
import type { Sql } from './sql.ts';

/** How a file is to be read. `mapping`: column → the header under which it is found. */
export const importOptions = z.strictObject({
  kind: importKind,
  mode: importMode,
  fileName: line(200).nullable(),
  mapping: z.record(line(64), line(200)).refine((mapping) => Object.keys(mapping).length <= 20),
});
export type ImportOptions = z.infer<typeof importOptions>;

export interface Upload {
  readonly options: ImportOptions;
  readonly content: Buffer;
}

export interface Uploads {
  /** Keeps a file; `too-busy` while the tenant has too many that were not imported. */
  save(tenantId: TenantId, importId: ImportId, upload: Upload): Promise<void>;
  find(tenantId: TenantId, importId: ImportId): Promise<Upload | null>;
  remove(tenantId: TenantId, importId: ImportId): Promise<void>;
}

const keptMs = 7 * 86_400_000;
const mostPerTenant = 20;

/** Opens the table, creating it when missing. */
export const openUploads = async (sql: Sql, clock: Clock): Promise<Uploads> => {
  await sql.unsafe(`create schema if not exists write_side;
    create table if not exists write_side.uploads (
      tenant_id text not null, import_id text not null, options jsonb not null, content bytea not null,
      created_at timestamptz not null, primary key (tenant_id, import_id))`);
  return {
    async save(tenantId, importId, { options, content }) {
      const now = clock();
      await sql`delete from write_side.uploads where created_at < ${isoTime(now - keptMs)}`;
      const saved = await sql`
        insert into write_side.uploads (tenant_id, import_id, options, content, created_at)
        select ${tenantId}, ${importId}, ${sql.json(options)}, ${content}, ${isoTime(now)}
        where (select count(*) from write_side.uploads where tenant_id = ${tenantId}) < ${mostPerTenant}
        returning 1`;
      if (saved.length === 0)
        throw new MusterError('too-busy', `there are ${mostPerTenant} files that were not imported yet`);
    },
    async find(tenantId, importId) {
      const [row] = await sql<{ options: ImportOptions; content: Buffer }[]>`
        select options, content from write_side.uploads
        where tenant_id = ${tenantId} and import_id = ${importId}`;
      return row ? { options: importOptions.parse(row.options), content: row.content } : null;
    },
    async remove(tenantId, importId) {
      await sql`delete from write_side.uploads where tenant_id = ${tenantId} and import_id = ${importId}`;
    },
  };
};
