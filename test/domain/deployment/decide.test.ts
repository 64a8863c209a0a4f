/** Specifications of the deployment decider. */
import { test } from 'node:test';
import { deploymentDecider } from '../../../domain/deployment/decide.ts';
import { templateContent } from '../../../domain/template/content.ts';
import { casesOf } from '../../support/given.ts';
import { idOf } from '../../support/ids.ts';

const template = {
  status: 'active' as const,
  name: 'Shops',
  description: null,
  version: 3,
  content: templateContent.parse({}),
};
const [first, second] = [idOf('ten', 1), idOf('ten', 2)];
const start = {
  type: 'StartDeployment' as const,
  templateId: idOf('tpl', 1),
  template,
  overwrite: false,
  tenantIds: [first, second, first],
};
const started = {
  type: 'DeploymentStarted' as const,
  data: { templateId: start.templateId, version: 3, overwrite: false, tenantIds: [first, second] },
};
const result = { outcome: 'skipped' as const, code: 'tenant-deleted' };
const recorded = (tenantId: typeof first) => ({
  type: 'DeploymentResultRecorded' as const,
  data: { tenantId, result },
});

const cases = casesOf(deploymentDecider, {
  StartDeployment: {
    accepts: [{ given: [], when: start, events: [started] }],
    refuses: [
      {
        given: [],
        when: { ...start, template: { status: 'none' } },
        refused: 'template-missing',
        field: 'templateId',
      },
      {
        given: [],
        when: { ...start, template: { ...template, status: 'retired' } },
        refused: 'template-retired',
        field: 'templateId',
      },
    ],
  },
  RecordDeploymentResult: {
    accepts: [
      {
        given: [started],
        when: { type: 'RecordDeploymentResult', tenantId: first, result },
        events: [recorded(first)],
      },
      {
        given: [started, recorded(first)],
        when: { type: 'RecordDeploymentResult', tenantId: second, result },
        events: [recorded(second), { type: 'DeploymentFinished', data: {} }],
      },
    ],
    refuses: [
      {
        given: [],
        when: { type: 'RecordDeploymentResult', tenantId: first, result },
        refused: 'deployment-missing',
      },
    ],
  },
});
for (const [name, run] of cases) test(name, run);
