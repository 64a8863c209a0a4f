/** Specifications of the tenant decider. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { tenantDecider } from '../../../domain/tenant/decide.ts';
import { standingFault } from '../../../domain/tenant/standing.ts';
import { slug, type TenantEvent, tenantDefaults } from '../../../domain/tenant/tenant.ts';
import { casesOf, foldOn } from '../../support/given.ts';
import { digestOf, idOf } from '../../support/ids.ts';

const acme = { name: 'Acme', slug: 'acme', kind: 'customer' } as const;
const created = { type: 'TenantCreated', data: acme } as const;
const suspended = { type: 'TenantSuspended', data: { reason: 'unpaid' } } as const;
const later = '2026-02-01T00:00:00.000Z';
const accountId = idOf('acc', 1);
const requested = {
  type: 'TenantDeletionRequested',
  data: { requestedBy: accountId, purgeAfter: later },
} as const;
const begun = { type: 'TenantPurgeBegun', data: {} } as const;
const granted = { type: 'SupportAccessGranted', data: { level: 'read', until: later } } as const;
const erased = { tenantId: idOf('ten', 2), slug: 'gone', requestedBy: accountId, streams: 3 };
const deployed = { templateId: idOf('tpl', 1), version: 2, items: { [idOf('pol', 1)]: digestOf('a') } };
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
  ChooseStaleMailRule: {
    accepts: [
      {
        given: [created],
        when: { type: 'ChooseStaleMailRule', staleMailRule: 'allow-known' },
        events: [{ type: 'TenantStaleMailRuleChosen', data: { staleMailRule: 'allow-known' } }],
      },
    ],
    refuses: [
      {
        given: [],
        when: { type: 'ChooseStaleMailRule', staleMailRule: 'deny' },
        refused: 'tenant-missing',
      },
    ],
  },
  ChooseUnknownMailDevices: {
    accepts: [
      {
        given: [created],
        when: { type: 'ChooseUnknownMailDevices', unknownMailDevices: 'bind' },
        events: [{ type: 'TenantUnknownMailDevicesChosen', data: { unknownMailDevices: 'bind' } }],
      },
      {
        given: [created],
        when: { type: 'ChooseUnknownMailDevices', unknownMailDevices: 'confirm' },
        events: [],
      },
    ],
    refuses: [
      {
        given: [],
        when: { type: 'ChooseUnknownMailDevices', unknownMailDevices: 'bind' },
        refused: 'tenant-missing',
      },
    ],
  },
  ConfigureTenant: {
    accepts: [
      {
        given: [created],
        when: {
          type: 'ConfigureTenant',
          changes: {
            description: 'Bakery',
            validUntil: later,
            platforms: ['ios'],
            privacy: { ...tenantDefaults.privacy, showApps: false },
            directory: 'ldap',
          },
        },
        events: [
          { type: 'TenantDescribed', data: { description: 'Bakery' } },
          { type: 'TenantValidityChanged', data: { validUntil: later } },
          { type: 'TenantPlatformsChosen', data: { platforms: ['ios'] } },
          {
            type: 'TenantPrivacyChosen',
            data: { privacy: { userMayLocate: true, administratorMayLocate: true, showApps: false } },
          },
          { type: 'TenantDirectoryChosen', data: { directory: 'ldap' } },
        ],
      },
      {
        given: [created, { type: 'TenantValidityChanged', data: { validUntil: later } }],
        when: { type: 'ConfigureTenant', changes: { validUntil: null, description: undefined } },
        events: [{ type: 'TenantValidityChanged', data: { validUntil: null } }],
      },
    ],
    refuses: [
      { given: [], when: { type: 'ConfigureTenant', changes: {} }, refused: 'tenant-missing' },
      {
        given: [created, requested],
        when: { type: 'ConfigureTenant', changes: { description: 'x' } },
        refused: 'tenant-deleted',
      },
    ],
  },
  RequestTenantDeletion: {
    accepts: [
      {
        given: [created, suspended],
        when: { type: 'RequestTenantDeletion', confirmation: 'acme', ...requested.data },
        events: [requested],
      },
    ],
    refuses: [
      {
        given: [created],
        when: { type: 'RequestTenantDeletion', confirmation: 'Acme', ...requested.data },
        refused: 'confirmation-wrong',
        field: 'confirmation',
      },
    ],
  },
  CancelTenantDeletion: {
    accepts: [
      {
        given: [created, requested],
        when: { type: 'CancelTenantDeletion' },
        events: [{ type: 'TenantDeletionCancelled', data: {} }],
      },
    ],
    refuses: [
      {
        given: [created, requested, begun],
        when: { type: 'CancelTenantDeletion' },
        refused: 'tenant-deleted',
      },
    ],
  },
  BeginTenantPurge: {
    accepts: [
      { given: [created, requested], when: { type: 'BeginTenantPurge', now: later }, events: [begun] },
    ],
    refuses: [
      { given: [created], when: { type: 'BeginTenantPurge', now: later }, refused: 'tenant-not-deleted' },
      {
        given: [created, requested],
        when: { type: 'BeginTenantPurge', now: '2026-01-31T23:59:59.999Z' },
        refused: 'tenant-not-deleted',
      },
    ],
  },
  RecordTenantErased: {
    accepts: [
      {
        given: [created],
        when: { type: 'RecordTenantErased', ...erased },
        events: [{ type: 'TenantErased', data: erased }],
      },
    ],
    refuses: [{ given: [], when: { type: 'RecordTenantErased', ...erased }, refused: 'tenant-missing' }],
  },
  GrantSupportAccess: {
    accepts: [
      {
        given: [created, suspended],
        when: { type: 'GrantSupportAccess', ...granted.data },
        events: [granted],
      },
    ],
    refuses: [
      {
        given: [created, requested],
        when: { type: 'GrantSupportAccess', ...granted.data },
        refused: 'tenant-deleted',
      },
    ],
  },
  RevokeSupportAccess: {
    accepts: [
      {
        given: [created, granted],
        when: { type: 'RevokeSupportAccess' },
        events: [{ type: 'SupportAccessRevoked', data: {} }],
      },
    ],
    refuses: [{ given: [], when: { type: 'RevokeSupportAccess' }, refused: 'tenant-missing' }],
  },
  UseSupportAccess: {
    accepts: [
      {
        given: [created, granted],
        when: { type: 'UseSupportAccess', now: '2026-01-31T23:59:59.999Z', accountId },
        events: [{ type: 'SupportAccessUsed', data: { accountId, ...granted.data } }],
        again: 'every use is a fact of its own',
      },
    ],
    refuses: [
      {
        given: [created, granted],
        when: { type: 'UseSupportAccess', now: later, accountId },
        refused: 'support-access-missing',
        field: 'tenantId',
      },
      {
        given: [created, granted, { type: 'SupportAccessRevoked', data: {} }],
        when: { type: 'UseSupportAccess', now: '2026-01-02T00:00:00.000Z', accountId },
        refused: 'support-access-missing',
        field: 'tenantId',
      },
    ],
  },
  RecordTemplateDeployed: {
    accepts: [
      {
        given: [created],
        when: { type: 'RecordTemplateDeployed', ...deployed },
        events: [{ type: 'TenantTemplateDeployed', data: deployed }],
      },
    ],
    refuses: [
      {
        given: [created, requested],
        when: { type: 'RecordTemplateDeployed', ...deployed },
        refused: 'tenant-deleted',
      },
    ],
  },
});

test('what was suspended before its deletion is suspended after it is taken back', () => {
  const back = { type: 'TenantDeletionCancelled', data: {} } as const;
  const after = (...events: readonly TenantEvent[]) =>
    (foldOn(tenantDecider, tenantDecider.initial, events) as { status: string }).status;
  assert.equal(after(created, suspended, requested), 'deleted');
  assert.equal(after(created, suspended, requested, back), 'suspended');
  assert.equal(after(created, requested, back), 'active');
});

test('expiry begins at the very moment, and names neither check-ins nor anything under way', () => {
  const standing = { validUntil: later, platforms: ['ios'] } as const;
  assert.equal(standingFault(standing, '2026-01-31T23:59:59.999Z', 'ios'), undefined);
  assert.equal(standingFault(standing, later, 'ios')?.refused, 'tenant-expired');
  assert.equal(standingFault(standing, '2026-01-01T00:00:00.000Z', 'android')?.refused, 'platform-disabled');
  assert.equal(standingFault({ ...standing, validUntil: null }, later, null), undefined);
});

for (const [name, run] of cases) test(name, run);

test('a slug is lower-case letters, digits and inner hyphens', () => {
  for (const good of ['a', 'acme', 'a-b', '0', 'a'.repeat(40)]) assert.ok(slug.safeParse(good).success, good);
  for (const bad of ['', '-a', 'a-', 'A', 'a_b', 'ä', 'a b', 'a\n', 'a'.repeat(41)])
    assert.ok(!slug.safeParse(bad).success, JSON.stringify(bad));
});
