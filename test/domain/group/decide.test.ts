/** Specifications of the group decider. */
import { test } from 'node:test';
import { groupDecider } from '../../../domain/group/decide.ts';
import { casesOf } from '../../support/given.ts';
import { idOf } from '../../support/ids.ts';

const created = { type: 'GroupCreated', data: { name: 'Sales' } } as const;
const compliancePolicyId = idOf('cmp', 1);
const assigned = { type: 'GroupCompliancePolicyAssigned', data: { compliancePolicyId } } as const;

const cases = casesOf(groupDecider, {
  CreateGroup: {
    accepts: [{ given: [], when: { type: 'CreateGroup', name: 'Sales' }, events: [created] }],
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
