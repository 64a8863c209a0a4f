/**
 * Read model of templates and their versions, and of what tenants have under the names in them.
 * Called by api/graphql/{template,deployment}.ts and workers/deploy-template.ts.
 */
import type { Fact } from '../domain/decider.ts';
import type { TemplateId, TenantId } from '../domain/ids.ts';
import { itemsOf, type TemplateContent } from '../domain/template/content.ts';
import { nameKey } from '../domain/template/plan.ts';
import {
  evolveTemplate,
  initialTemplate,
  type TemplateEvent,
  type TemplateState,
} from '../domain/template/template.ts';
import { asTenant, type Sql } from '../platform/sql.ts';
import { factOf, foldedColumns, foldRows } from './fold.ts';
import { columnsOf, type Page, type PageRequest, readPage } from './page.ts';
import { key, type Projection, sortKey } from './projection.ts';

/** A template at its present version. Times are ISO 8601, UTC. */
export interface TemplateRow {
  readonly templateId: TemplateId;
  readonly name: string;
  readonly description: string | null;
  readonly status: 'active' | 'retired';
  readonly version: number;
  readonly content: TemplateContent;
  readonly createdAt: string;
  readonly changedAt: string;
}

type Existing = Exclude<TemplateState, { status: 'none' }> & { readonly createdAt: string };

export const templatesProjection: Projection = {
  name: 'templates',
  version: 1,
  categories: ['template'],
  tables: [
    {
      name: 'templates',
      columns: `template_id ${key} not null, name text not null, name_key ${key} not null, status text not null,
        created_at ${key} not null, changed_at ${key} not null, ${foldedColumns},
        primary key (tenant_id, template_id)`,
      indexes: ['(tenant_id, name_key, template_id)'],
    },
  ],
  apply: (tx, events) =>
    foldRows<Existing>(tx, events, {
      table: 'templates',
      id: 'template_id',
      evolve: (state, event) => ({
        ...(evolveTemplate(state ?? initialTemplate, factOf<Fact<TemplateEvent>>(event)) as Existing),
        createdAt: state?.createdAt ?? event.at,
      }),
      columns: ({ name, status, createdAt }, last) => ({
        name,
        name_key: sortKey(name),
        status,
        created_at: createdAt,
        changed_at: last.at,
      }),
    }),
};

const columns = columnsOf<TemplateRow>({
  templateId: 'template_id',
  name: 'name',
  description: `state->>'description'`,
  status: 'status',
  version: `(state->>'version')::int`,
  content: `state->'content'`,
  createdAt: 'created_at',
  changedAt: 'changed_at',
});

/** One template of the tenant. */
export const findTemplate = (
  sql: Sql,
  tenantId: TenantId,
  templateId: TemplateId,
): Promise<TemplateRow | undefined> =>
  asTenant(sql, tenantId, async (tx) => {
    const [row] = await tx<TemplateRow[]>`
      select ${tx.unsafe(columns)} from read.templates where template_id = ${templateId}`;
    return row;
  });

/** Templates by name, retired ones too. */
export const listTemplates = (sql: Sql, tenantId: TenantId, page: PageRequest): Promise<Page<TemplateRow>> =>
  asTenant(sql, tenantId, (tx) =>
    readPage(
      tx,
      {
        columns,
        from: 'read.templates',
        order: [
          { column: 'name_key', type: 'text' },
          { column: 'template_id', type: 'text' },
        ],
      },
      page,
    ),
  );

/** Ids by kind and name (see nameKey) of what a tenant has, not retired, under the names of a template. */
export const findTemplateNames = (
  sql: Sql,
  tenantId: TenantId,
  content: TemplateContent,
): Promise<ReadonlyMap<string, string>> =>
  asTenant(sql, tenantId, async (tx) => {
    const wanted = itemsOf(content).filter(({ kind }) => kind !== 'setting');
    const names = tx`(select jsonb_array_elements_text(${tx.json(wanted.map(({ name }) => sortKey(name)))}))`;
    const rows = await tx<{ kind: (typeof wanted)[number]['kind']; name: string; id: string }[]>`
      select 'policy' as kind, name, policy_id as id from read.policies
        where status = 'active' and name_key in ${names}
      union all select 'task-bundle', name, task_bundle_id from read.task_bundles
        where status = 'active' and name_key in ${names}
      union all select 'compliance-policy', name, compliance_policy_id from read.compliance_policies
        where status = 'active' and name_key in ${names}
      union all select 'group', name, group_id from read.groups where name_key in ${names}`;
    return new Map(rows.map(({ kind, name, id }) => [nameKey(kind, name), id]));
  });
