/**
 * Job: brings the version of a template that a deployment names to one tenant, and records the result. Queued by
 * react.ts, one for each tenant. Repeated, or killed anywhere and run again, it changes nothing twice: every id and
 * command is derived, and what the tenant has already is left as it is.
 */
import { deploymentDecider } from '../domain/deployment/decide.ts';
import type { DeploymentResult, DeploymentState } from '../domain/deployment/deployment.ts';
import { isRefusal, type Refusal } from '../domain/refusals.ts';
import { countPlan } from '../domain/template/plan.ts';
import { tenantDecider } from '../domain/tenant/decide.ts';
import {
  applyItems,
  applySettings,
  planDeployment,
  readTemplateVersion,
} from '../platform/deploy-template.ts';
import { findTemplateNames } from '../projections/templates.ts';
import { causeOf } from './cause.ts';
import { refusedJob } from './errors.ts';
import type { JobData, JobKind, Parts, RunningJob } from './jobs.ts';
import { untilProjected } from './pages.ts';

type DeployJob = RunningJob<JobData['deploy-template']>;
type Running = Exclude<DeploymentState, { status: 'none' }>;

const failed = ({ refused, detail }: Refusal): DeploymentResult => ({
  outcome: 'failed',
  code: refused,
  detail: detail === undefined ? null : detail.slice(0, 500),
});

const deploy = async (job: DeployJob, { deps }: Parts, deployment: Running): Promise<DeploymentResult> => {
  const { origin, tenantId } = job.data;
  const { handler, store, sql } = deps;
  const { state: tenant } = await handler.load(tenantDecider, { tenantId, id: tenantId });
  if (tenant.status === 'none') return { outcome: 'skipped', code: 'tenant-missing' };
  if (tenant.status === 'deleted') return { outcome: 'skipped', code: 'tenant-deleted' };
  const template = await readTemplateVersion(store, deployment.templateId, deployment.version);
  const names = await findTemplateNames(sql, tenantId, template.content);
  const request = { tenantId, tenant, template, names, overwrite: deployment.overwrite };
  const plan = await planDeployment(handler, request);
  const cause = causeOf('deploy-template', job.id, origin);
  const refused = await applyItems(handler, tenantId, plan, cause);
  if (refused) return failed(refused);
  const settled = await applySettings(handler, request, plan, cause);
  return isRefusal(settled) ? failed(settled) : { outcome: 'done', counts: countPlan(plan) };
};

export const deployTemplate: JobKind<'deploy-template'> = {
  queue: 'deploy-template',
  // Each of them reads and writes many streams: more at once would only keep check-ins waiting.
  concurrency: 2,
  async run(job, parts) {
    const { origin, deploymentId, tenantId } = job.data;
    const target = { tenantId: origin.tenantId, id: deploymentId };
    const { state } = await parts.deps.handler.load(deploymentDecider, target);
    if (state.status === 'none' || !state.open.includes(tenantId)) return { outcome: 'recorded-already' };
    // Names are looked up in read models: they must know what was there when the deployment began.
    await untilProjected(parts, BigInt(origin.position));
    const result = await deploy(job, parts, state);
    const recorded = await parts.deps.handler.handle(
      deploymentDecider,
      target,
      { type: 'RecordDeploymentResult', tenantId, result },
      causeOf('deploy-template', `${job.id}.result`, origin),
    );
    if (isRefusal(recorded)) throw refusedJob(recorded);
    return result;
  },
};
