/** Specifications of the tenant decider. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { tenantDecider } from '../../../domain/tenant/decide.ts';
import { slug } from '../../../domain/tenant/tenant.ts';
import { casesOf } from '../../support/given.ts';
import { idOf } from '../../support/ids.ts';

const acme = { name: 'Acme', slug: 'acme', kind: 'customer' } as const;
const created = { type: 'TenantCreated', data: acme } as const;
const suspended = { type: 'TenantSuspended', data: { reason: 'unpaid' } } as const;
const compliancePolicyId = idOf('cmp', 1);

const cases = casesOf(tenantDecider, {
  CreateTenant: {
    accepts: [{ given: [], when: { type: 'CreateTenant', ...acme }, events: [created] }],
    refuses: [
      { given: [created], when: { type: 'CreateTenant', ...acme, slug: 'other' }, refused: 'tenant-exists' },
    ],
  },
  RenameTenant: {
    accepts: [
      {
        given: [created],
        when: { type: 'RenameTenant', name: 'Acme 2' },
        events: [{ type: 'TenantRenamed', data: { name: 'Acme 2' } }],
      },
    ],
    refuses: [{ given: [], when: { type: 'RenameTenant', name: 'x' }, refused: 'tenant-missing' }],
  },
  SuspendTenant: {
    accepts: [{ given: [created], when: { type: 'SuspendTenant', reason: 'unpaid' }, events: [suspended] }],
    refuses: [{ given: [], when: { type: 'SuspendTenant', reason: 'unpaid' }, refused: 'tenant-missing' }],
  },
  ReactivateTenant: {
    accepts: [
      {
        given: [created, suspended],
        when: { type: 'ReactivateTenant' },
        events: [{ type: 'TenantReactivated', data: {} }],
      },
    ],
    refuses: [{ given: [], when: { type: 'ReactivateTenant' }, refused: 'tenant-missing' }],
  },
  AssignTenantCompliancePolicy: {
    accepts: [
      {
        given: [created],
        when: { type: 'AssignTenantCompliancePolicy', compliancePolicyId },
        events: [{ type: 'TenantCompliancePolicyAssigned', data: { compliancePolicyId } }],
      },
    ],
    refuses: [
      {
        given: [],
        when: { type: 'AssignTenantCompliancePolicy', compliancePolicyId },
        refused: 'tenant-missing',
      },
    ],
  },
});

for (const [name, run] of cases) test(name, run);

test('a slug is lower-case letters, digits and inner hyphens', () => {
  for (const good of ['a', 'acme', 'a-b', '0', 'a'.repeat(40)]) assert.ok(slug.safeParse(good).success, good);
  for (const bad of ['', '-a', 'a-', 'A', 'a_b', 'ä', 'a b', 'a\n', 'a'.repeat(41)])
    assert.ok(!slug.safeParse(bad).success, JSON.stringify(bad));
});
