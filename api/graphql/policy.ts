/**
 * Policies in GraphQL. Listed in schema.ts.
 */
import { z } from 'zod';
import { type PolicyId, policyId } from '../../domain/ids.ts';
import { policyDecider } from '../../domain/policy/decide.ts';
import { policySettings } from '../../domain/policy/settings.ts';
import { name, platform } from '../../domain/text.ts';
import { newId } from '../../platform/new-id.ts';
import { findPolicy, listPolicies, listPolicyVersions, type PolicyRow } from '../../projections/policies.ts';
import { ActorType } from './actor.ts';
import { builder } from './builder.ts';
import { connectionOf, pageArgs, pageOf } from './connection.ts';
import { signedIn } from './context.ts';
import { act, payloadOf, settle, stateOf } from './effect.ts';
import { requireEditionOfPolicy } from './entitlements.ts';
import { Platform, PolicyStatus, PolicyType } from './enums.ts';
import { mutation } from './mutation.ts';
import { Policy, PolicyVersion } from './refs.ts';

PolicyVersion.implement({
  description: 'One version of a policy.',
  fields: (t) => ({
    version: t.exposeInt('version'),
    settings: t.expose('settings', { type: 'JSON' }),
    at: t.expose('at', { type: 'DateTime', description: 'Since when.' }),
    actor: t.expose('actor', { type: ActorType }),
  }),
});
const PolicyVersionConnection = connectionOf('PolicyVersion', PolicyVersion);

builder.node(Policy, {
  description: 'Settings under a version number that devices follow.',
  id: { resolve: (policy) => policy.policyId },
  fields: (t) => ({
    name: t.exposeString('name'),
    policyType: t.expose('policyType', { type: PolicyType }),
    platforms: t.field({ type: [Platform], resolve: ({ platforms }) => [...platforms] }),
    status: t.expose('status', { type: PolicyStatus }),
    version: t.exposeInt('version'),
    settings: t.expose('settings', { type: 'JSON' }),
    createdAt: t.expose('createdAt', { type: 'DateTime' }),
    changedAt: t.expose('changedAt', { type: 'DateTime' }),
    versions: t.field({
      type: PolicyVersionConnection,
      description: 'The newest first.',
      args: pageArgs,
      resolve: (policy, args, context) =>
        listPolicyVersions(context.deps.sql, signedIn(context).tenantId, policy.policyId, pageOf(args)),
    }),
  }),
});

builder.queryField('policies', (t) =>
  t.field({
    type: connectionOf('Policy', Policy),
    description: 'Policies by name, retired ones too.',
    authScopes: { permission: 'policy.read' },
    args: pageArgs,
    resolve: (_root, args, context) =>
      listPolicies(context.deps.sql, signedIn(context).tenantId, pageOf(args)),
  }),
);

builder.queryField('policySettingsSchema', (t) =>
  t.field({
    type: 'JSON',
    description: 'JSON Schema of the settings of a policy.',
    authScopes: { permission: 'policy.read' },
    resolve: () => z.toJSONSchema(policySettings),
  }),
);

const Payload = payloadOf<PolicyId, PolicyRow>('Policy', 'policy', Policy, findPolicy);

mutation('createPolicy', {
  description: 'Creates a policy at version 1.',
  permission: 'policy.manage',
  type: Payload,
  input: (t) => ({
    name: t.string({ required: true }).validate(name),
    policyType: t.field({ type: PolicyType, required: true, defaultValue: 'device' }),
    platforms: t.field({ type: [Platform], required: true }).validate(z.array(platform).min(1)),
    settings: t
      .field({ type: 'JSON', required: true, description: 'See policySettingsSchema.' })
      .validate(policySettings),
  }),
  run: async (input, context) => {
    const id = newId('pol');
    const { name, policyType, settings } = input;
    const platforms = [...new Set(input.platforms)];
    await requireEditionOfPolicy(context, { policyType, settings }, 'policyType');
    const done = await act(context, policyDecider, id, {
      type: 'CreatePolicy',
      name,
      policyType,
      platforms,
      settings,
    });
    return { id, ...(await settle(context, done)) };
  },
});

mutation('renamePolicy', {
  description: 'Renames a policy.',
  permission: 'policy.manage',
  type: Payload,
  input: (t) => ({
    policyId: t.id({ required: true }).validate(policyId),
    name: t.string({ required: true }).validate(name),
  }),
  run: async (input, context) => {
    const done = await act(context, policyDecider, input.policyId, {
      type: 'RenamePolicy',
      name: input.name,
    });
    return { id: input.policyId, ...(await settle(context, done)) };
  },
});

mutation('revisePolicy', {
  description:
    'Gives a policy new settings as its next version; its devices receive them at their next sync.',
  permission: 'policy.manage',
  type: Payload,
  input: (t) => ({
    policyId: t.id({ required: true }).validate(policyId),
    settings: t
      .field({ type: 'JSON', required: true, description: 'See policySettingsSchema.' })
      .validate(policySettings),
    expectedVersion: t.int({ description: 'The version you saw; another one refuses.' }),
  }),
  run: async (input, context) => {
    const present = await stateOf(context, policyDecider, input.policyId);
    const policyType = present.status === 'none' ? 'device' : present.policyType;
    await requireEditionOfPolicy(context, { policyType, settings: input.settings }, 'settings');
    const done = await act(context, policyDecider, input.policyId, {
      type: 'RevisePolicy',
      settings: input.settings,
      expectedVersion: input.expectedVersion ?? undefined,
    });
    return { id: input.policyId, ...(await settle(context, done)) };
  },
});

mutation('retirePolicy', {
  description: 'Retires a policy: it can be assigned to no further device; those that have it keep it.',
  permission: 'policy.manage',
  type: Payload,
  input: (t) => ({ policyId: t.id({ required: true }).validate(policyId) }),
  run: async (input, context) => {
    const done = await act(context, policyDecider, input.policyId, { type: 'RetirePolicy' });
    return { id: input.policyId, ...(await settle(context, done)) };
  },
});
