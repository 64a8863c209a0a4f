/** Specifications of the template decider, of what fits together, and of plans. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { itemsOf, templateContent } from '../../../domain/template/content.ts';
import { templateDecider } from '../../../domain/template/decide.ts';
import { type PlanInput, type Present, planTemplate } from '../../../domain/template/plan.ts';
import { casesOf } from '../../support/given.ts';
import { idOf } from '../../support/ids.ts';

const policy = {
  id: idOf('pol', 1),
  name: 'Phones',
  policyType: 'device' as const,
  platforms: ['android' as const],
  settings: { passcode: { required: true } },
};
const bundle = {
  id: idOf('bdl', 1),
  name: 'Start',
  platforms: ['android' as const],
  tasks: [{ type: 'assign-policy', parameters: { policyId: policy.id } }],
};
const contentOf = (parts: object) => templateContent.parse(parts);
const content = contentOf({ policies: [policy], taskBundles: [bundle], settings: { description: 'Shop' } });
const revised = contentOf({ policies: [{ ...policy, name: 'Handsets' }] });
const given = { name: 'Shops', description: null, content };
const created = { type: 'TemplateCreated' as const, data: given };
const retired = { type: 'TemplateRetired' as const, data: {} };
const create = (parts: object) => ({ type: 'CreateTemplate' as const, ...given, content: contentOf(parts) });
const invalid = { given: [], refused: 'template-invalid' as const, field: 'content' };

const cases = casesOf(templateDecider, {
  CreateTemplate: {
    accepts: [{ given: [], when: { type: 'CreateTemplate', ...given }, events: [created] }],
    refuses: [
      { given: [created], when: create({}), refused: 'name-taken' },
      { ...invalid, when: create({ taskBundles: [bundle] }) },
      { ...invalid, when: create({ policies: [policy, policy] }) },
      { ...invalid, when: create({ policies: [policy, { ...policy, id: idOf('pol', 2) }] }) },
      {
        ...invalid,
        when: create({
          taskBundles: [
            {
              ...bundle,
              tasks: [
                { type: 'unenrol', parameters: {} },
                { type: 'wipe', parameters: {} },
              ],
            },
          ],
        }),
      },
    ],
  },
  RenameTemplate: {
    accepts: [
      {
        given: [created],
        when: { type: 'RenameTemplate', name: 'Stores', description: 'All' },
        events: [{ type: 'TemplateRenamed', data: { name: 'Stores', description: 'All' } }],
      },
    ],
    refuses: [
      {
        given: [],
        when: { type: 'RenameTemplate', name: 'x', description: null },
        refused: 'template-missing',
        field: 'templateId',
      },
    ],
  },
  ReviseTemplate: {
    accepts: [
      {
        given: [created],
        when: { type: 'ReviseTemplate', content: revised, expectedVersion: 1 },
        events: [{ type: 'TemplateRevised', data: { version: 2, content: revised } }],
      },
    ],
    refuses: [
      {
        given: [created],
        when: { type: 'ReviseTemplate', content: revised, expectedVersion: 2 },
        refused: 'version-conflict',
        field: 'expectedVersion',
      },
      {
        given: [created, retired],
        when: { type: 'ReviseTemplate', content: revised },
        refused: 'template-retired',
        field: 'templateId',
      },
      {
        given: [created],
        when: {
          type: 'ReviseTemplate',
          content: contentOf({ policies: [{ ...policy, platforms: ['ios'] }] }),
        },
        refused: 'template-invalid',
        field: 'content',
      },
    ],
  },
  RetireTemplate: {
    accepts: [{ given: [created], when: { type: 'RetireTemplate' }, events: [retired] }],
    refuses: [
      { given: [], when: { type: 'RetireTemplate' }, refused: 'template-missing', field: 'templateId' },
    ],
  },
});
for (const [name, run] of cases) test(name, run);

test('what others name comes first, and nothing is lost', () => {
  assert.deepEqual(
    itemsOf(content).map(({ kind, name }) => `${kind} ${name}`),
    ['policy Phones', 'task-bundle Start', 'setting description'],
  );
});

test('a plan tells new, revised, unchanged, drifted and conflicting items apart', () => {
  const item = {
    kind: 'group' as const,
    key: idOf('grp', 1),
    id: 'own',
    name: 'Sales',
    value: { name: 'new' },
  };
  const plan = (present: Present | undefined, rest: Partial<PlanInput> = {}) => {
    const [planned] = planTemplate({
      items: [item],
      present: new Map(present ? [[item.key, present]] : []),
      names: new Map(),
      deployed: {},
      overwrite: false,
      digestOf: JSON.stringify,
      ...rest,
    });
    return [planned?.action, planned?.applied];
  };
  const has = (name: string, status: Present['status'] = 'active'): Present => ({ status, value: { name } });
  const deployed = { [item.key]: JSON.stringify({ name: 'old' }) };
  assert.deepEqual(plan(undefined), ['create', true]);
  assert.deepEqual(plan(undefined, { names: new Map([['group/Sales', 'other']]) }), ['conflicting', false]);
  assert.deepEqual(plan(undefined, { names: new Map([['group/Sales', 'own']]) }), ['create', true]);
  assert.deepEqual(plan(has('new'), { deployed }), ['unchanged', false]);
  assert.deepEqual(plan(has('old'), { deployed }), ['revise', true]);
  assert.deepEqual(plan(has('mine'), { deployed }), ['drifted', false]);
  assert.deepEqual(plan(has('mine'), { deployed, overwrite: true }), ['drifted', true]);
  assert.deepEqual(plan(has('old', 'retired'), { deployed, overwrite: true }), ['drifted', false]);
});
