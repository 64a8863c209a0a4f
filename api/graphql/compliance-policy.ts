/**
 * Compliance policies and the rules they are made of, in GraphQL. Listed in schema.ts.
 */
import { z } from 'zod';
import type { ComplianceRule } from '../../domain/compliance/rule.ts';
import { rules } from '../../domain/compliance/rules/index.ts';
import { complianceSettings } from '../../domain/compliance/settings.ts';
import { compliancePolicyDecider } from '../../domain/compliance-policy/decide.ts';
import { type CompliancePolicyId, compliancePolicyId } from '../../domain/ids.ts';
import { tenantDecider } from '../../domain/tenant/decide.ts';
import { name } from '../../domain/text.ts';
import { newId } from '../../platform/new-id.ts';
import {
  type CompliancePolicyRow,
  findCompliancePolicy,
  listCompliancePolicies,
  listCompliancePolicyVersions,
} from '../../projections/compliance-policies.ts';
import { listGroupsOfCompliancePolicy } from '../../projections/groups.ts';
import { ActorType } from './actor.ts';
import { builder } from './builder.ts';
import { connectionOf, pageArgs, pageOf } from './connection.ts';
import { type ApiContext, signedIn } from './context.ts';
import { act, payloadOf, settle, stateOf } from './effect.ts';
import { requireEditionOfRules } from './entitlements.ts';
import { Platform, PolicyStatus, RuleName, Severity } from './enums.ts';
import { mutation } from './mutation.ts';
import { requireActions, requireCompliancePolicy } from './references.ts';
import { CompliancePolicy, CompliancePolicyVersion } from './refs.ts';
import { TenantPayload } from './tenant-type.ts';

const Rule = builder.objectRef<ComplianceRule>('ComplianceRule').implement({
  description: 'A rule that a compliance policy can contain.',
  fields: (t) => ({
    name: t.field({ type: RuleName, resolve: (rule) => rule.name as (typeof rules)[number]['name'] }),
    title: t.exposeString('title'),
    severity: t.expose('severity', { type: Severity, description: 'Unless the policy sets another.' }),
    platforms: t.field({ type: [Platform], resolve: ({ platforms }) => [...platforms] }),
    parametersSchema: t.field({
      type: 'JSON',
      description: 'JSON Schema of the rule’s parameters.',
      resolve: ({ parameters }) => z.toJSONSchema(parameters),
    }),
  }),
});

builder.queryField('complianceRules', (t) =>
  t.field({
    type: [Rule],
    description: 'Every rule there is.',
    authScopes: { permission: 'compliance-policy.read' },
    resolve: () => rules as unknown as ComplianceRule[],
  }),
);

CompliancePolicyVersion.implement({
  description: 'One version of a compliance policy.',
  fields: (t) => ({
    version: t.exposeInt('version'),
    settings: t.expose('settings', { type: 'JSON' }),
    at: t.expose('at', { type: 'DateTime', description: 'Since when.' }),
    actor: t.expose('actor', { type: ActorType }),
  }),
});
const CompliancePolicyVersionConnection = connectionOf('CompliancePolicyVersion', CompliancePolicyVersion);

builder.node(CompliancePolicy, {
  description: 'The rules that devices of a tenant or group must satisfy, per platform.',
  id: { resolve: (policy) => policy.compliancePolicyId },
  fields: (t) => ({
    name: t.exposeString('name'),
    status: t.expose('status', { type: PolicyStatus }),
    version: t.exposeInt('version'),
    settings: t.expose('settings', { type: 'JSON' }),
    createdAt: t.expose('createdAt', { type: 'DateTime' }),
    changedAt: t.expose('changedAt', { type: 'DateTime' }),
    versions: t.field({
      type: CompliancePolicyVersionConnection,
      description: 'The newest first.',
      args: pageArgs,
      resolve: ({ compliancePolicyId: id }, args, context) =>
        listCompliancePolicyVersions(context.deps.sql, signedIn(context).tenantId, id, pageOf(args)),
    }),
  }),
});

builder.queryField('compliancePolicies', (t) =>
  t.field({
    type: connectionOf('CompliancePolicy', CompliancePolicy),
    description: 'Compliance policies by name, retired ones too.',
    authScopes: { permission: 'compliance-policy.read' },
    args: pageArgs,
    resolve: (_root, args, context) =>
      listCompliancePolicies(context.deps.sql, signedIn(context).tenantId, pageOf(args)),
  }),
);

const Payload = payloadOf<CompliancePolicyId, CompliancePolicyRow>(
  'CompliancePolicy',
  'compliancePolicy',
  CompliancePolicy,
  findCompliancePolicy,
);
const settingsHelp =
  'Per platform a list of `{ rule, parameters, severity, actions }`; see complianceRules for rules and parameters.';

mutation('createCompliancePolicy', {
  description: 'Creates a compliance policy at version 1.',
  permission: 'compliance-policy.manage',
  type: Payload,
  input: (t) => ({
    name: t.string({ required: true }).validate(name),
    settings: t
      .field({ type: 'JSON', required: true, description: settingsHelp })
      .validate(complianceSettings),
  }),
  run: async (input, context) => {
    await requireActions(context, input.settings);
    await requireEditionOfRules(context, input.settings, 'settings');
    const id = newId('cmp');
    const done = await act(context, compliancePolicyDecider, id, {
      type: 'CreateCompliancePolicy',
      name: input.name,
      settings: input.settings,
    });
    return { id, ...(await settle(context, done)) };
  },
});

mutation('renameCompliancePolicy', {
  description: 'Renames a compliance policy.',
  permission: 'compliance-policy.manage',
  type: Payload,
  input: (t) => ({
    compliancePolicyId: t.id({ required: true }).validate(compliancePolicyId),
    name: t.string({ required: true }).validate(name),
  }),
  run: async (input, context) => {
    const id = input.compliancePolicyId;
    const done = await act(context, compliancePolicyDecider, id, {
      type: 'RenameCompliancePolicy',
      name: input.name,
    });
    return { id, ...(await settle(context, done)) };
  },
});

mutation('reviseCompliancePolicy', {
  description: 'Gives a compliance policy new rules as its next version; its devices are evaluated again.',
  permission: 'compliance-policy.manage',
  type: Payload,
  input: (t) => ({
    compliancePolicyId: t.id({ required: true }).validate(compliancePolicyId),
    settings: t
      .field({ type: 'JSON', required: true, description: settingsHelp })
      .validate(complianceSettings),
    expectedVersion: t.int({ description: 'The version you saw; another one refuses.' }),
  }),
  run: async (input, context) => {
    await requireActions(context, input.settings);
    await requireEditionOfRules(context, input.settings, 'settings');
    const id = input.compliancePolicyId;
    const done = await act(context, compliancePolicyDecider, id, {
      type: 'ReviseCompliancePolicy',
      settings: input.settings,
      expectedVersion: input.expectedVersion ?? undefined,
    });
    return { id, ...(await settle(context, done)) };
  },
});

const isAssigned = async (context: ApiContext, id: CompliancePolicyId): Promise<boolean> => {
  const { tenantId } = signedIn(context);
  const tenant = await stateOf(context, tenantDecider, tenantId);
  if (tenant.status !== 'none' && tenant.compliancePolicyId === id) return true;
  return (await listGroupsOfCompliancePolicy(context.deps.sql, tenantId, id)).length > 0;
};

mutation('retireCompliancePolicy', {
  description: 'Retires a compliance policy that neither the tenant nor a group uses any more.',
  permission: 'compliance-policy.manage',
  type: Payload,
  input: (t) => ({ compliancePolicyId: t.id({ required: true }).validate(compliancePolicyId) }),
  run: async (input, context) => {
    const id = input.compliancePolicyId;
    const assigned = await isAssigned(context, id);
    const done = await act(context, compliancePolicyDecider, id, {
      type: 'RetireCompliancePolicy',
      assigned,
    });
    return { id, ...(await settle(context, done)) };
  },
});

mutation('assignTenantCompliancePolicy', {
  description:
    'Puts every device of the tenant, but for groups with one of their own, under a compliance policy.',
  permission: 'tenant.manage',
  type: TenantPayload,
  input: (t) => ({ compliancePolicyId: t.id({ required: true }).validate(compliancePolicyId) }),
  run: async (input, context) => {
    const { tenantId } = signedIn(context);
    await requireCompliancePolicy(context, input.compliancePolicyId);
    const done = await act(context, tenantDecider, tenantId, {
      type: 'AssignTenantCompliancePolicy',
      compliancePolicyId: input.compliancePolicyId,
    });
    return { id: tenantId, ...(await settle(context, done)) };
  },
});
