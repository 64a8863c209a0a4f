/**
 * Read model of deployments of templates, with the result of each tenant. Called by api/graphql/deployment.ts.
 */
import type { Fact } from '../domain/decider.ts';
import {
  type DeploymentEvent,
  type DeploymentResult,
  type DeploymentState,
  evolveDeployment,
  initialDeployment,
} from '../domain/deployment/deployment.ts';
import type { DeploymentId, TemplateId, TenantId } from '../domain/ids.ts';
import type { Actor, StoredEvent } from '../platform/event-store.ts';
import { asTenant, type Sql, type Transaction } from '../platform/sql.ts';
import { factOf, foldedColumns, foldRows, saveRows } from './fold.ts';
import { columnsOf, type Page, type PageRequest, readPage } from './page.ts';
import { key, type Projection } from './projection.ts';

/** A deployment. Times are ISO 8601, UTC. */
export interface DeploymentRow {
  readonly deploymentId: DeploymentId;
  readonly templateId: TemplateId;
  readonly version: number;
  readonly overwrite: boolean;
  readonly status: 'running' | 'finished';
  readonly startedAt: string;
  readonly finishedAt: string | null;
  readonly actor: Actor;
  readonly total: number;
  readonly done: number;
  readonly failed: number;
  readonly skipped: number;
}

/** The result of one tenant; null while it has none. */
export interface DeploymentTenantRow {
  readonly tenantId: TenantId;
  readonly result: DeploymentResult | null;
  readonly at: string | null;
}

interface Existing {
  readonly deployment: Exclude<DeploymentState, { status: 'none' }>;
  readonly startedAt: string;
  readonly finishedAt: string | null;
  readonly actor: Actor;
}

const evolve = (state: Existing | undefined, event: StoredEvent): Existing => {
  const fact = factOf<Fact<DeploymentEvent>>(event);
  const deployment = evolveDeployment(state?.deployment ?? initialDeployment, fact) as Existing['deployment'];
  return {
    // Who is still open is in rows of its own.
    deployment: { ...deployment, open: [] },
    startedAt: state?.startedAt ?? event.at,
    finishedAt: event.type === 'DeploymentFinished' ? event.at : (state?.finishedAt ?? null),
    actor: state?.actor ?? event.metadata.actor,
  };
};

const saveTenants = async (tx: Transaction, events: readonly StoredEvent[]): Promise<void> => {
  const started = events.flatMap(({ tenantId, entityId, type, data }) =>
    type === 'DeploymentStarted'
      ? (data as { tenantIds: readonly TenantId[] }).tenantIds.map((target) => ({
          tenant_id: tenantId,
          deployment_id: entityId,
          target,
        }))
      : [],
  );
  if (started.length > 0)
    await tx`
      insert into deployment_tenants (tenant_id, deployment_id, target)
      select tenant_id, deployment_id, target
      from jsonb_populate_recordset(null::deployment_tenants, ${tx.json(started as never)})
      on conflict do nothing`;
  await saveRows(
    tx,
    'deployment_tenants',
    ['deployment_id', 'target'],
    events.flatMap(({ tenantId, entityId, type, data, at }) => {
      if (type !== 'DeploymentResultRecorded') return [];
      const { tenantId: target, result } = data as { tenantId: TenantId; result: DeploymentResult };
      const { outcome } = result;
      return [{ tenant_id: tenantId, deployment_id: entityId, target, outcome, result, at }];
    }),
  );
};

export const deploymentsProjection: Projection = {
  name: 'deployments',
  version: 1,
  categories: ['deployment'],
  tables: [
    {
      name: 'deployments',
      columns: `deployment_id ${key} not null, template_id ${key} not null, started_at ${key} not null,
        ${foldedColumns}, primary key (tenant_id, deployment_id)`,
      indexes: ['(tenant_id, started_at, deployment_id)'],
    },
    {
      name: 'deployment_tenants',
      columns: `deployment_id ${key} not null, target ${key} not null, outcome text, result jsonb, at ${key},
        primary key (tenant_id, deployment_id, target)`,
    },
  ],
  async apply(tx, events) {
    await foldRows<Existing>(tx, events, {
      table: 'deployments',
      id: 'deployment_id',
      evolve,
      columns: ({ deployment, startedAt }) => ({
        template_id: deployment.templateId,
        started_at: startedAt,
      }),
    });
    await saveTenants(tx, events);
  },
};

const countOf = (outcome: DeploymentResult['outcome']): string =>
  `(select count(*)::int from read.deployment_tenants t
     where t.deployment_id = d.deployment_id and t.outcome = '${outcome}')`;

const columns = columnsOf<DeploymentRow>({
  deploymentId: 'd.deployment_id',
  templateId: 'd.template_id',
  version: `(d.state->'deployment'->>'version')::int`,
  overwrite: `(d.state->'deployment'->>'overwrite')::boolean`,
  status: `d.state->'deployment'->>'status'`,
  startedAt: 'd.started_at',
  finishedAt: `d.state->>'finishedAt'`,
  actor: `d.state->'actor'`,
  total: `(d.state->'deployment'->>'total')::int`,
  done: countOf('done'),
  failed: countOf('failed'),
  skipped: countOf('skipped'),
});

/** One deployment of the tenant. */
export const findDeployment = (
  sql: Sql,
  tenantId: TenantId,
  deploymentId: DeploymentId,
): Promise<DeploymentRow | undefined> =>
  asTenant(sql, tenantId, async (tx) => {
    const [row] = await tx<DeploymentRow[]>`
      select ${tx.unsafe(columns)} from read.deployments d where d.deployment_id = ${deploymentId}`;
    return row;
  });

/** Deployments, the newest first. */
export const listDeployments = (
  sql: Sql,
  tenantId: TenantId,
  page: PageRequest,
): Promise<Page<DeploymentRow>> =>
  asTenant(sql, tenantId, (tx) =>
    readPage(
      tx,
      {
        columns,
        from: 'read.deployments d',
        order: [
          { column: 'd.started_at', type: 'text' },
          { column: 'd.deployment_id', type: 'text' },
        ],
        descending: true,
      },
      page,
    ),
  );

/** The tenants of a deployment by id, with the result of each. */
export const listDeploymentTenants = (
  sql: Sql,
  tenantId: TenantId,
  deploymentId: DeploymentId,
  page: PageRequest,
): Promise<Page<DeploymentTenantRow>> =>
  asTenant(sql, tenantId, (tx) =>
    readPage(
      tx,
      {
        columns: columnsOf<DeploymentTenantRow>({ tenantId: 'target', result: 'result', at: 'at' }),
        from: 'read.deployment_tenants',
        where: [tx`deployment_id = ${deploymentId}`],
        order: [{ column: 'target', type: 'text' }],
      },
      page,
    ),
  );
