/** Specifications of the group decider. */
import { test } from 'node:test';
import { groupDecider } from '../../../domain/group/decide.ts';
import { casesOf } from '../../support/given.ts';
import { idOf } from '../../support/ids.ts';

const created = { type: 'GroupCreated', data: { name: 'Sales' } } as const;
const deleted = { type: 'GroupDeleted', data: {} } as const;
const compliancePolicyId = idOf('cmp', 1);
const assigned = { type: 'GroupCompliancePolicyAssigned', data: { compliancePolicyId } } as const;

const cases = casesOf(groupDecider, {
  CreateGroup: {
    accepts: [
      { given: [], when: { type: 'CreateGroup', name: 'Sales' }, events: [created] },
      {
        given: [],
        when: { type: 'CreateGroup', name: 'Sales', description: 'All' },
        events: [created, { type: 'GroupDescribed', data: { description: 'All' } }],
      },
    ],
    refuses: [
      {
        given: [created],
        when: { type: 'CreateGroup', name: 'Support' },
        refused: 'name-taken',
        field: 'name',
      },
    ],
  },
  RenameGroup: {
    accepts: [
      {
        given: [created],
        when: { type: 'RenameGroup', name: 'Support' },
        events: [{ type: 'GroupRenamed', data: { name: 'Support' } }],
      },
    ],
    refuses: [
      { given: [], when: { type: 'RenameGroup', name: 'x' }, refused: 'group-missing', field: 'groupId' },
      {
        given: [created, deleted],
        when: { type: 'RenameGroup', name: 'x' },
        refused: 'group-missing',
        field: 'groupId',
      },
    ],
  },
  DescribeGroup: {
    accepts: [
      {
        given: [created],
        when: { type: 'DescribeGroup', description: 'All of sales' },
        events: [{ type: 'GroupDescribed', data: { description: 'All of sales' } }],
      },
    ],
    refuses: [
      {
        given: [],
        when: { type: 'DescribeGroup', description: 'x' },
        refused: 'group-missing',
        field: 'groupId',
      },
    ],
  },
  DeleteGroup: {
    accepts: [{ given: [created], when: { type: 'DeleteGroup', devices: 0 }, events: [deleted] }],
    refuses: [
      {
        given: [created],
        when: { type: 'DeleteGroup', devices: 1 },
        refused: 'group-not-empty',
        field: 'groupId',
      },
      { given: [], when: { type: 'DeleteGroup', devices: 0 }, refused: 'group-missing', field: 'groupId' },
    ],
  },
  AssignGroupCompliancePolicy: {
    accepts: [
      {
        given: [created],
        when: { type: 'AssignGroupCompliancePolicy', compliancePolicyId },
        events: [assigned],
      },
      {
        given: [created, assigned],
        when: { type: 'AssignGroupCompliancePolicy', compliancePolicyId: null },
        events: [{ type: 'GroupCompliancePolicyAssigned', data: { compliancePolicyId: null } }],
      },
    ],
    refuses: [
      {
        given: [],
        when: { type: 'AssignGroupCompliancePolicy', compliancePolicyId },
        refused: 'group-missing',
        field: 'groupId',
      },
    ],
  },
});

for (const [name, run] of cases) test(name, run);
