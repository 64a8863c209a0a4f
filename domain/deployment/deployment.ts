/**
 * Facts and state of a deployment: one version of a template on its way to many tenants, with each tenant's result.
 * Decided by decide.ts beside this file; carried out by workers/deploy-template.ts, one job for each tenant.
 */
import { z } from 'zod';
import { defineEvents, type EventOf, type Fact, never } from '../decider.ts';
import { type TemplateId, type TenantId, templateId, tenantId } from '../ids.ts';
import { line } from '../text.ts';

/** Most tenants of one deployment. */
export const tenantsPerDeployment = 10_000;

const count = z.int().min(0);
export const deploymentCounts = z.strictObject({
  create: count,
  revise: count,
  unchanged: count,
  conflicting: count,
  drifted: count,
});

const code = z.string().regex(/^[a-z-]{1,60}$/);

/** What became of one tenant. */
export const deploymentResult = z.discriminatedUnion('outcome', [
  z.strictObject({ outcome: z.literal('done'), counts: deploymentCounts }),
  z.strictObject({ outcome: z.literal('failed'), code, detail: line(500).nullable() }),
  z.strictObject({ outcome: z.literal('skipped'), code }),
]);
export type DeploymentResult = z.infer<typeof deploymentResult>;

export const deploymentEvents = defineEvents('deployment', {
  DeploymentStarted: z.strictObject({
    templateId,
    version: z.int().min(1),
    overwrite: z.boolean(),
    tenantIds: z.array(tenantId).min(1).max(tenantsPerDeployment),
  }),
  DeploymentResultRecorded: z.strictObject({ tenantId, result: deploymentResult }),
  DeploymentFinished: z.strictObject({}),
});

export type DeploymentEvent = EventOf<typeof deploymentEvents>;

export type DeploymentState =
  | { readonly status: 'none' }
  | {
      readonly status: 'running' | 'finished';
      readonly templateId: TemplateId;
      readonly version: number;
      readonly overwrite: boolean;
      readonly total: number;
      /** Tenants without a result yet. */
      readonly open: readonly TenantId[];
    };

export const initialDeployment: DeploymentState = { status: 'none' };

/** Folds one fact into the state. */
export const evolveDeployment = (
  state: DeploymentState,
  { type, data }: Fact<DeploymentEvent>,
): DeploymentState => {
  if (type === 'DeploymentStarted') {
    const { tenantIds, ...rest } = data;
    return { status: 'running', ...rest, total: tenantIds.length, open: tenantIds };
  }
  if (state.status === 'none') return state;
  switch (type) {
    case 'DeploymentResultRecorded':
      return { ...state, open: state.open.filter((id) => id !== data.tenantId) };
    case 'DeploymentFinished':
      return { ...state, status: 'finished' };
    default:
      return never(type);
  }
};
