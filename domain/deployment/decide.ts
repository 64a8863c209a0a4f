/**
 * Commands and decisions of a deployment. Called through platform/handle.ts by api/graphql/deployment.ts and
 * workers/deploy-template.ts.
 */
import { type Decider, type Decision, never } from '../decider.ts';
import type { TemplateId, TenantId } from '../ids.ts';
import { refuse } from '../refusals.ts';
import type { TemplateState } from '../template/template.ts';
import {
  type DeploymentEvent,
  type DeploymentResult,
  type DeploymentState,
  deploymentEvents,
  evolveDeployment,
  initialDeployment,
} from './deployment.ts';

export type DeploymentCommand =
  /** `template` is the template as it is now: its present version is deployed. */
  | {
      readonly type: 'StartDeployment';
      readonly templateId: TemplateId;
      readonly template: TemplateState;
      readonly overwrite: boolean;
      readonly tenantIds: readonly TenantId[];
    }
  | {
      readonly type: 'RecordDeploymentResult';
      readonly tenantId: TenantId;
      readonly result: DeploymentResult;
    };

/** Decides one command: see the refusals it names. The last result finishes the deployment. */
export const decideDeployment = (
  command: DeploymentCommand,
  state: DeploymentState,
): Decision<DeploymentEvent> => {
  switch (command.type) {
    case 'StartDeployment': {
      if (state.status !== 'none') return [];
      const { templateId, template, overwrite, tenantIds } = command;
      if (template.status === 'none') return refuse('template-missing', { field: 'templateId' });
      if (template.status === 'retired') return refuse('template-retired', { field: 'templateId' });
      const { version } = template;
      const data = { templateId, version, overwrite, tenantIds: [...new Set(tenantIds)] };
      return [{ type: 'DeploymentStarted', data }];
    }
    case 'RecordDeploymentResult': {
      if (state.status === 'none') return refuse('deployment-missing');
      const { tenantId, result } = command;
      if (!state.open.includes(tenantId)) return [];
      const recorded: DeploymentEvent = { type: 'DeploymentResultRecorded', data: { tenantId, result } };
      return state.open.length === 1 ? [recorded, { type: 'DeploymentFinished', data: {} }] : [recorded];
    }
    default:
      return never(command);
  }
};

export const deploymentDecider: Decider<DeploymentState, DeploymentCommand, DeploymentEvent> = {
  events: deploymentEvents,
  stateVersion: 1,
  initial: initialDeployment,
  evolve: evolveDeployment,
  decide: decideDeployment,
};
