/**
 * Deploying templates to tenants in GraphQL: previews, drift, deployments and their results. Listed in schema.ts.
 */
import { z } from 'zod';
import { deploymentDecider } from '../../domain/deployment/decide.ts';
import { type DeploymentResult, tenantsPerDeployment } from '../../domain/deployment/deployment.ts';
import { type DeploymentId, type TemplateId, type TenantId, templateId, tenantId } from '../../domain/ids.ts';
import { refuse } from '../../domain/refusals.ts';
import { templateDecider } from '../../domain/template/decide.ts';
import { countPlan, type PlanCounts, type PlannedItem } from '../../domain/template/plan.ts';
import { tenantDecider } from '../../domain/tenant/decide.ts';
import { planDeployment, readTemplateVersion, type TemplateVersion } from '../../platform/deploy-template.ts';
import { MusterError } from '../../platform/errors.ts';
import { newId } from '../../platform/new-id.ts';
import {
  type DeploymentRow,
  type DeploymentTenantRow,
  findDeployment,
  listDeployments,
  listDeploymentTenants,
} from '../../projections/deployments.ts';
import { maximumPage, type Page } from '../../projections/page.ts';
import { findTemplate, findTemplateNames } from '../../projections/templates.ts';
import { findAnyTenant, listTenants, type TenantFilter, type TenantRow } from '../../projections/tenants.ts';
import { ActorType } from './actor.ts';
import { builder, RefusedError } from './builder.ts';
import { connectionOf, pageArgs, pageOf } from './connection.ts';
import { type ApiContext, signedIn } from './context.ts';
import { act, payloadOf, settle } from './effect.ts';
import { DeploymentOutcome, DeploymentStatus, TemplateItemAction, TemplateItemKind } from './enums.ts';
import { mutation } from './mutation.ts';
import { requireTemplate } from './references.ts';
import { Deployment, Template, Tenant } from './refs.ts';

const CountsType = builder.objectRef<PlanCounts>('TemplateItemCounts').implement({
  description: 'How many items of a template meet each action.',
  fields: (t) => ({
    create: t.exposeInt('create'),
    revise: t.exposeInt('revise'),
    unchanged: t.exposeInt('unchanged'),
    conflicting: t.exposeInt('conflicting', { description: 'The tenant has another one by that name.' }),
    drifted: t.exposeInt('drifted', { description: 'Changed by the tenant itself.' }),
  }),
});

const PlannedItemType = builder.objectRef<PlannedItem>('PlannedItem').implement({
  description: 'What a deployment does about one item of a template.',
  fields: (t) => ({
    kind: t.field({ type: TemplateItemKind, resolve: ({ item }) => item.kind }),
    key: t.string({ description: 'The id within the template.', resolve: ({ item }) => item.key }),
    name: t.string({ resolve: ({ item }) => item.name }),
    action: t.expose('action', { type: TemplateItemAction }),
    applied: t.exposeBoolean('applied', { description: 'False: it is left as it is.' }),
  }),
});

interface TenantPlan {
  readonly tenant: TenantRow;
  readonly template: TemplateVersion;
  readonly items: readonly PlannedItem[];
}

const TenantPlanType = builder.objectRef<TenantPlan>('TenantPlan').implement({
  description: 'What a version of a template would change in a tenant now.',
  fields: (t) => ({
    tenant: t.expose('tenant', { type: Tenant }),
    templateId: t.id({ resolve: ({ template }) => template.templateId }),
    version: t.int({ resolve: ({ template }) => template.version }),
    counts: t.field({ type: CountsType, resolve: ({ items }) => countPlan(items) }),
    items: t.field({ type: [PlannedItemType], resolve: ({ items }) => [...items] }),
  }),
});
const TenantPlanConnection = connectionOf('TenantPlan', TenantPlanType);

const planFor = async (
  { deps }: ApiContext,
  tenant: TenantRow,
  template: TemplateVersion,
  overwrite: boolean,
): Promise<TenantPlan> => {
  const { tenantId: id } = tenant;
  const { state } = await deps.handler.load(tenantDecider, { tenantId: id, id });
  if (state.status === 'none') return { tenant, template, items: [] };
  const names = await findTemplateNames(deps.sql, id, template.content);
  const request = { tenantId: id, tenant: state, template, names, overwrite };
  return { tenant, template, items: await planDeployment(deps.handler, request) };
};

/** Tenants that one preview looks into. */
const plansPerPage = 20;
/** Tenants that are planned at once. */
const plansAtOnce = 4;

const plansFor = async <Item>(
  items: readonly Item[],
  plan: (item: Item) => Promise<TenantPlan>,
): Promise<TenantPlan[]> => {
  const plans: TenantPlan[] = [];
  for (let from = 0; from < items.length; from += plansAtOnce)
    plans.push(...(await Promise.all(items.slice(from, from + plansAtOnce).map(plan))));
  return plans;
};

const someTenants = z.array(tenantId).min(1).max(tenantsPerDeployment);

/** Customers that are not deleted: all of them, or those that are named. */
const wanted = (tenantIds: readonly string[] | null | undefined): TenantFilter => ({
  kind: 'customer',
  ...(tenantIds ? { tenantIds: tenantIds as readonly TenantId[] } : {}),
});

builder.queryField('previewTemplateDeployment', (t) =>
  t.field({
    type: TenantPlanConnection,
    description: 'What deploying the present version of a template would change, by tenant. Changes nothing.',
    authScopes: { permission: 'operator.templates' },
    args: {
      ...pageArgs,
      templateId: t.arg.id({ required: true, validate: templateId }),
      tenantIds: t.arg.idList({ validate: someTenants, description: 'Without them every tenant.' }),
      overwrite: t.arg.boolean({ required: true, defaultValue: false }),
    },
    resolve: async (_root, args, context): Promise<Page<TenantPlan>> => {
      const template = await requireTemplate(context, args.templateId as TemplateId);
      const page = { ...pageOf(args), first: Math.min(args.first, plansPerPage) };
      const tenants = await listTenants(context.deps.sql, page, wanted(args.tenantIds));
      const rows = await plansFor(tenants.rows, (tenant) =>
        planFor(context, tenant, template, args.overwrite),
      );
      return { ...tenants, rows };
    },
  }),
);

builder.queryField('templateDrift', (t) =>
  t.field({
    type: [TenantPlanType],
    description:
      'What a tenant has otherwise than the templates that were deployed to it say, at the versions deployed.',
    authScopes: { permission: 'operator.templates' },
    args: { tenantId: t.arg.id({ required: true, validate: tenantId }) },
    resolve: async (_root, args, context) => {
      const tenant = await findAnyTenant(context.deps.sql, args.tenantId as TenantId);
      if (!tenant) throw new MusterError('not-found', 'no such tenant', { field: 'tenantId' });
      return plansFor(Object.entries(tenant.templates), async ([id, { version }]) => {
        const template = await readTemplateVersion(context.deps.store, id as TemplateId, version);
        const plan = await planFor(context, tenant, template, false);
        return { ...plan, items: plan.items.filter(({ action }) => action !== 'unchanged') };
      });
    },
  }),
);

const DeploymentTenantType = builder.objectRef<DeploymentTenantRow>('DeploymentTenant').implement({
  description: 'A tenant of a deployment.',
  fields: (t) => ({
    tenantId: t.exposeID('tenantId'),
    outcome: t.field({
      type: DeploymentOutcome,
      nullable: true,
      description: 'Null: not its turn yet.',
      resolve: ({ result }) => result?.outcome ?? null,
    }),
    code: t.string({
      nullable: true,
      description: 'Why it failed or was skipped; see docs/reference/errors.md.',
      resolve: ({ result }) => (result && 'code' in result ? result.code : null),
    }),
    detail: t.string({
      nullable: true,
      resolve: ({ result }) => (result?.outcome === 'failed' ? result.detail : null),
    }),
    counts: t.field({
      type: CountsType,
      nullable: true,
      resolve: ({ result }) =>
        result?.outcome === 'done' ? (result as Extract<DeploymentResult, { outcome: 'done' }>).counts : null,
    }),
    at: t.expose('at', { type: 'DateTime', nullable: true }),
  }),
});

builder.node(Deployment, {
  description: 'A version of a template on its way to tenants.',
  id: { resolve: (deployment) => deployment.deploymentId },
  fields: (t) => ({
    template: t.field({
      type: Template,
      nullable: true,
      resolve: async ({ templateId: id }, _args, context) =>
        (await findTemplate(context.deps.sql, signedIn(context).tenantId, id)) ?? null,
    }),
    version: t.exposeInt('version'),
    overwrite: t.exposeBoolean('overwrite'),
    status: t.expose('status', { type: DeploymentStatus }),
    startedAt: t.expose('startedAt', { type: 'DateTime' }),
    finishedAt: t.expose('finishedAt', { type: 'DateTime', nullable: true }),
    actor: t.expose('actor', { type: ActorType }),
    tenantCount: t.exposeInt('total'),
    doneCount: t.exposeInt('done'),
    failedCount: t.exposeInt('failed'),
    skippedCount: t.exposeInt('skipped'),
    tenants: t.field({
      type: connectionOf('DeploymentTenant', DeploymentTenantType),
      args: pageArgs,
      resolve: ({ deploymentId }, args, context) =>
        listDeploymentTenants(context.deps.sql, signedIn(context).tenantId, deploymentId, pageOf(args)),
    }),
  }),
});

builder.queryField('deployments', (t) =>
  t.field({
    type: connectionOf('Deployment', Deployment),
    description: 'Deployments of templates, the newest first.',
    authScopes: { permission: 'operator.templates' },
    args: pageArgs,
    resolve: (_root, args, context) =>
      listDeployments(context.deps.sql, signedIn(context).tenantId, pageOf(args)),
  }),
);

/** Every tenant that a deployment is for; refuses `tenant-missing` when one that was named is not among them. */
const targetsOf = async (
  context: ApiContext,
  tenantIds: readonly string[] | null | undefined,
): Promise<readonly TenantId[]> => {
  const found: TenantId[] = [];
  let after: string | undefined;
  do {
    const page = await listTenants(context.deps.sql, { first: maximumPage, after }, wanted(tenantIds));
    found.push(...page.rows.map((row) => row.tenantId));
    after = page.hasNextPage ? page.cursors.at(-1) : undefined;
  } while (after !== undefined && found.length <= tenantsPerDeployment);
  const missing = (tenantIds ?? []).find((id) => !found.includes(id as TenantId));
  if (missing) throw new RefusedError(refuse('tenant-missing', { field: 'tenantIds', detail: missing }));
  if (found.length === 0)
    throw new MusterError('invalid-input', 'there is no tenant', { field: 'tenantIds' });
  if (found.length > tenantsPerDeployment)
    throw new MusterError('invalid-input', `at most ${tenantsPerDeployment} at once`, { field: 'tenantIds' });
  return found;
};

mutation('deployTemplate', {
  description: 'Brings the present version of a template to tenants, one after another in the background.',
  permission: 'operator.templates',
  type: payloadOf<DeploymentId, DeploymentRow>('Deployment', 'deployment', Deployment, findDeployment),
  input: (t) => ({
    templateId: t.id({ required: true }).validate(templateId),
    tenantIds: t.idList({ description: 'Without them every tenant.' }).validate(someTenants.nullish()),
    overwrite: t.boolean({
      required: true,
      defaultValue: false,
      description: 'True: what tenants changed by themselves is replaced.',
    }),
  }),
  run: async (input, context) => {
    await requireTemplate(context, input.templateId);
    const tenantIds = await targetsOf(context, input.tenantIds);
    const { templateId: used, overwrite } = input;
    const { state: template } = await context.deps.handler.load(templateDecider, {
      tenantId: signedIn(context).tenantId,
      id: used,
    });
    const id = newId('dpl');
    const done = await act(context, deploymentDecider, id, {
      type: 'StartDeployment',
      templateId: used,
      template,
      overwrite,
      tenantIds,
    });
    return { id, ...(await settle(context, done)) };
  },
});
