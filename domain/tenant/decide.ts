/**
 * Commands and decisions of a tenant. Called through platform/handle.ts by api/graphql/tenant.ts and the CLI.
 */
import type { Decider, Decision } from '../decider.ts';
import { never } from '../decider.ts';
import type { AccountId, CompliancePolicyId, TemplateId, TenantId } from '../ids.ts';
import { refuse } from '../refusals.ts';
import { same } from '../same.ts';
import type { Platform } from '../text.ts';
import { standingSupport } from './standing.ts';
import {
  type DeployedItems,
  type Directory,
  type ExistingTenant,
  evolveTenant,
  initialTenant,
  type Privacy,
  type StaleMailRule,
  type SupportLevel,
  type TenantEvent,
  type TenantKind,
  type TenantState,
  tenantEvents,
  type UnknownMailDevices,
} from './tenant.ts';

/** What can be set on a tenant; what is undefined stays as it is. */
export interface TenantChanges {
  readonly description?: string | null | undefined;
  readonly validUntil?: string | null | undefined;
  readonly platforms?: readonly Platform[] | undefined;
  readonly privacy?: Privacy | undefined;
  readonly directory?: Directory | undefined;
}

/** Times (`now`, `until`, `purgeAfter`) are ISO 8601, UTC. */
export type TenantCommand =
  | { readonly type: 'CreateTenant'; readonly name: string; readonly slug: string; readonly kind: TenantKind }
  | { readonly type: 'RenameTenant'; readonly name: string }
  | { readonly type: 'SuspendTenant'; readonly reason: string }
  | { readonly type: 'ReactivateTenant' }
  | { readonly type: 'AssignTenantCompliancePolicy'; readonly compliancePolicyId: CompliancePolicyId }
  | { readonly type: 'ChooseStaleMailRule'; readonly staleMailRule: StaleMailRule }
  | { readonly type: 'ChooseUnknownMailDevices'; readonly unknownMailDevices: UnknownMailDevices }
  | { readonly type: 'ConfigureTenant'; readonly changes: TenantChanges }
  /** `confirmation` is what the operator typed: the short name. */
  | {
      readonly type: 'RequestTenantDeletion';
      readonly confirmation: string;
      readonly requestedBy: AccountId;
      readonly purgeAfter: string;
    }
  | { readonly type: 'CancelTenantDeletion' }
  | { readonly type: 'BeginTenantPurge'; readonly now: string }
  /** Said to the operator tenant. */
  | {
      readonly type: 'RecordTenantErased';
      readonly tenantId: TenantId;
      readonly slug: string;
      readonly requestedBy: AccountId;
      readonly streams: number;
    }
  | { readonly type: 'GrantSupportAccess'; readonly level: SupportLevel; readonly until: string }
  | { readonly type: 'RevokeSupportAccess' }
  | { readonly type: 'UseSupportAccess'; readonly now: string; readonly accountId: AccountId }
  | {
      readonly type: 'RecordTemplateDeployed';
      readonly templateId: TemplateId;
      readonly version: number;
      readonly items: DeployedItems;
    };

const configure = (changes: TenantChanges, state: ExistingTenant): readonly TenantEvent[] => {
  const { description, validUntil, platforms, privacy, directory } = changes;
  const events: TenantEvent[] = [];
  if (description !== undefined && description !== state.description)
    events.push({ type: 'TenantDescribed', data: { description } });
  if (validUntil !== undefined && validUntil !== state.validUntil)
    events.push({ type: 'TenantValidityChanged', data: { validUntil } });
  if (platforms !== undefined && !same([...platforms].sort(), [...state.platforms].sort()))
    events.push({ type: 'TenantPlatformsChosen', data: { platforms: [...platforms] } });
  if (privacy !== undefined && !same(privacy, state.privacy))
    events.push({ type: 'TenantPrivacyChosen', data: { privacy } });
  if (directory !== undefined && directory !== state.directory)
    events.push({ type: 'TenantDirectoryChosen', data: { directory } });
  return events;
};

type DeletionCommand = Extract<
  TenantCommand,
  { type: 'RequestTenantDeletion' | 'CancelTenantDeletion' | 'BeginTenantPurge' }
>;

const decideDeletion = (command: DeletionCommand, state: ExistingTenant): Decision<TenantEvent> => {
  switch (command.type) {
    case 'RequestTenantDeletion': {
      if (command.confirmation !== state.slug)
        return refuse('confirmation-wrong', { field: 'confirmation', detail: 'type its short name' });
      if (state.deletion !== null) return [];
      const { requestedBy, purgeAfter } = command;
      return [{ type: 'TenantDeletionRequested', data: { requestedBy, purgeAfter } }];
    }
    case 'CancelTenantDeletion':
      if (state.deletion === null) return [];
      return state.deletion.begun
        ? refuse('tenant-deleted')
        : [{ type: 'TenantDeletionCancelled', data: {} }];
    case 'BeginTenantPurge':
      if (state.deletion === null || command.now < state.deletion.purgeAfter)
        return refuse('tenant-not-deleted');
      return state.deletion.begun ? [] : [{ type: 'TenantPurgeBegun', data: {} }];
    default:
      return never(command);
  }
};

type SupportCommand = Extract<
  TenantCommand,
  { type: 'GrantSupportAccess' | 'RevokeSupportAccess' | 'UseSupportAccess' }
>;

const decideSupport = (command: SupportCommand, state: ExistingTenant): Decision<TenantEvent> => {
  switch (command.type) {
    case 'GrantSupportAccess': {
      const { level, until } = command;
      return same(state.support, { level, until })
        ? []
        : [{ type: 'SupportAccessGranted', data: { level, until } }];
    }
    case 'RevokeSupportAccess':
      return state.support === null ? [] : [{ type: 'SupportAccessRevoked', data: {} }];
    case 'UseSupportAccess': {
      const grant = standingSupport(state, command.now);
      if (grant === null) return refuse('support-access-missing', { field: 'tenantId' });
      return [{ type: 'SupportAccessUsed', data: { accountId: command.accountId, ...grant } }];
    }
    default:
      return never(command);
  }
};

/** Decides one command: see the refusals it names. A tenant that was deleted takes nothing but its deletion's. */
export const decideTenant = (command: TenantCommand, state: TenantState): Decision<TenantEvent> => {
  if (command.type === 'CreateTenant') {
    const { type: _, ...data } = command;
    if (state.status === 'none') return [{ type: 'TenantCreated', data }];
    return state.slug === data.slug && state.kind === data.kind ? [] : refuse('tenant-exists');
  }
  if (state.status === 'none') return refuse('tenant-missing');
  switch (command.type) {
    case 'RequestTenantDeletion':
    case 'CancelTenantDeletion':
    case 'BeginTenantPurge':
      return decideDeletion(command, state);
    default:
  }
  if (state.status === 'deleted') return refuse('tenant-deleted');
  switch (command.type) {
    case 'RenameTenant':
      return state.name === command.name ? [] : [{ type: 'TenantRenamed', data: { name: command.name } }];
    case 'SuspendTenant':
      return state.status === 'suspended'
        ? []
        : [{ type: 'TenantSuspended', data: { reason: command.reason } }];
    case 'ReactivateTenant':
      return state.status === 'active' ? [] : [{ type: 'TenantReactivated', data: {} }];
    case 'AssignTenantCompliancePolicy':
      if (state.compliancePolicyId === command.compliancePolicyId) return [];
      return [
        { type: 'TenantCompliancePolicyAssigned', data: { compliancePolicyId: command.compliancePolicyId } },
      ];
    case 'ChooseStaleMailRule':
      return state.staleMailRule === command.staleMailRule
        ? []
        : [{ type: 'TenantStaleMailRuleChosen', data: { staleMailRule: command.staleMailRule } }];
    case 'ChooseUnknownMailDevices': {
      const { type: _, ...data } = command;
      return state.unknownMailDevices === data.unknownMailDevices
        ? []
        : [{ type: 'TenantUnknownMailDevicesChosen', data }];
    }
    case 'ConfigureTenant':
      return configure(command.changes, state);
    case 'RecordTenantErased': {
      const { type: _, ...data } = command;
      return state.recentlyErased.includes(command.tenantId) ? [] : [{ type: 'TenantErased', data }];
    }
    case 'GrantSupportAccess':
    case 'RevokeSupportAccess':
    case 'UseSupportAccess':
      return decideSupport(command, state);
    case 'RecordTemplateDeployed': {
      const { templateId, version, items } = command;
      return same(state.templates[templateId], { version, items })
        ? []
        : [{ type: 'TenantTemplateDeployed', data: { templateId, version, items: { ...items } } }];
    }
    default:
      return never(command);
  }
};

export const tenantDecider: Decider<TenantState, TenantCommand, TenantEvent> = {
  events: tenantEvents,
  stateVersion: 4,
  initial: initialTenant,
  evolve: evolveTenant,
  decide: decideTenant,
};
