/**
 * Facts and state of a tenant: one customer of the installation, isolated from every other.
 * Decided by decide.ts beside this file; read by projections/tenants.ts.
 */
import { z } from 'zod';
import { defineEvents, type EventOf, type Fact, never } from '../decider.ts';
import {
  type AccountId,
  accountId,
  compliancePolicyId,
  type TemplateId,
  type TenantId,
  templateId,
  tenantId,
} from '../ids.ts';
import { platforms as allPlatforms, line, name, type Platform, platform, time } from '../text.ts';

/** Short name that people type at sign-in: lower-case letters, digits and hyphens, unique in the installation. */
export const slug = z
  .string()
  .regex(
    /^[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?$/,
    'must be 1 to 40 lower-case letters, digits and inner hyphens',
  );

/** The operator tenant's id, the same in every installation: processes that start together create one. */
export const operatorTenantId = `ten${'0'.repeat(26)}` as TenantId;

/** `operator` is the one tenant of the super administrators, created at first start. */
export const tenantKind = z.enum(['operator', 'customer']);
export type TenantKind = z.infer<typeof tenantKind>;

/** What may be known of people: each switch off forbids it for every device of the tenant, as the names say. */
export const privacy = z.strictObject({
  /** The person who holds a device may locate it. */
  userMayLocate: z.boolean(),
  administratorMayLocate: z.boolean(),
  /** Off: the apps on personal devices are neither shown nor stored; those on corporate ones are. */
  showApps: z.boolean(),
});
export type Privacy = z.infer<typeof privacy>;

/** Where the people of the tenant are looked up. */
export const directory = z.enum(['none', 'internal', 'ldap']);
export type Directory = z.infer<typeof directory>;

/** What support may do: `read` sees devices and configuration, `change` administers, but for accounts and tokens. */
export const supportLevel = z.enum(['read', 'change']);
export type SupportLevel = z.infer<typeof supportLevel>;

/**
 * What a tenant's EAS proxies do once their verdicts are older than they may be: refuse everybody, or go on with the last
 * verdicts they know.
 */
export const staleMailRule = z.enum(['deny', 'allow-known']);
export type StaleMailRule = z.infer<typeof staleMailRule>;

/**
 * What becomes of a device that asks for mail with a good password and that nobody knows: nothing, a place in the
 * quarantine, or to be bound at once where only one of the user's devices can be meant.
 */
export const unknownMailDevices = z.enum(['refuse', 'confirm', 'bind']);
export type UnknownMailDevices = z.infer<typeof unknownMailDevices>;

/** SHA-256, hex, of the content of each item of a template as it was deployed, by the item's key. */
export const deployedItems = z.record(z.string().max(60), z.string().regex(/^[0-9a-f]{64}$/));
export type DeployedItems = Readonly<Record<string, string>>;

export const tenantDescription = line(500);
export const chosenPlatforms = z
  .array(platform)
  .refine((list) => new Set(list).size === list.length, 'names a platform twice');

export const tenantEvents = defineEvents('tenant', {
  TenantCreated: z.strictObject({ name, slug, kind: tenantKind }),
  TenantRenamed: z.strictObject({ name }),
  TenantSuspended: z.strictObject({ reason: line(500) }),
  TenantReactivated: z.strictObject({}),
  TenantCompliancePolicyAssigned: z.strictObject({ compliancePolicyId }),
  TenantDescribed: z.strictObject({ description: tenantDescription.nullable() }),
  /** null: without end. */
  TenantValidityChanged: z.strictObject({ validUntil: time.nullable() }),
  TenantPlatformsChosen: z.strictObject({ platforms: chosenPlatforms }),
  TenantPrivacyChosen: z.strictObject({ privacy }),
  TenantDirectoryChosen: z.strictObject({ directory }),
  TenantStaleMailRuleChosen: z.strictObject({ staleMailRule }),
  TenantUnknownMailDevicesChosen: z.strictObject({ unknownMailDevices }),
  TenantDeletionRequested: z.strictObject({ requestedBy: accountId, purgeAfter: time }),
  TenantDeletionCancelled: z.strictObject({}),
  TenantPurgeBegun: z.strictObject({}),
  /** In the operator tenant's own stream: all there is left of a tenant that was deleted. */
  TenantErased: z.strictObject({ tenantId, slug, requestedBy: accountId, streams: z.int().min(0) }),
  SupportAccessGranted: z.strictObject({ level: supportLevel, until: time }),
  SupportAccessRevoked: z.strictObject({}),
  SupportAccessUsed: z.strictObject({ accountId, level: supportLevel, until: time }),
  TenantTemplateDeployed: z.strictObject({ templateId, version: z.int().min(1), items: deployedItems }),
});

export type TenantEvent = EventOf<typeof tenantEvents>;

/** Support access as granted; it stands until `until` (ISO 8601, UTC). */
export interface SupportGrant {
  readonly level: SupportLevel;
  readonly until: string;
}

/** A deletion under way. `begun`: the purge has begun, and nothing brings the tenant back. */
export interface Deletion {
  readonly requestedBy: AccountId;
  readonly purgeAfter: string;
  readonly begun: boolean;
}

/** How many erased tenants the operator tenant remembers, to recognise a repeated command. */
const rememberedErasures = 64;

export type TenantState =
  | { readonly status: 'none' }
  | {
      readonly status: 'active' | 'suspended' | 'deleted';
      readonly name: string;
      readonly slug: string;
      readonly kind: TenantKind;
      /** Compliance policy of devices whose group has none of its own. */
      readonly compliancePolicyId: z.infer<typeof compliancePolicyId> | null;
      readonly description: string | null;
      /** ISO 8601 UTC: no new tasks and enrolments from then on; null: without end. */
      readonly validUntil: string | null;
      /** Devices of other platforms can neither enrol nor be sent tasks. */
      readonly platforms: readonly Platform[];
      readonly privacy: Privacy;
      readonly directory: Directory;
      readonly staleMailRule: StaleMailRule;
      readonly unknownMailDevices: UnknownMailDevices;
      /** Whether it was suspended before its deletion was requested. */
      readonly suspended: boolean;
      readonly deletion: Deletion | null;
      readonly support: SupportGrant | null;
      /** What templates brought, by template. */
      readonly templates: Readonly<
        Partial<Record<TemplateId, { readonly version: number; readonly items: DeployedItems }>>
      >;
      readonly recentlyErased: readonly TenantId[];
    };

export type ExistingTenant = Exclude<TenantState, { status: 'none' }>;

export const initialTenant: TenantState = { status: 'none' };

/** What a tenant is unless somebody says otherwise. */
export const tenantDefaults = {
  description: null,
  validUntil: null,
  platforms: [...allPlatforms],
  privacy: { userMayLocate: true, administratorMayLocate: true, showApps: true },
  directory: 'none',
  staleMailRule: 'deny',
  unknownMailDevices: 'confirm',
} as const satisfies Partial<ExistingTenant>;

const founded = (data: { name: string; slug: string; kind: TenantKind }): ExistingTenant => ({
  status: 'active',
  compliancePolicyId: null,
  ...tenantDefaults,
  suspended: false,
  deletion: null,
  support: null,
  templates: {},
  recentlyErased: [],
  ...data,
});

/** Folds one fact into the state. */
export const evolveTenant = (state: TenantState, { type, data }: Fact<TenantEvent>): TenantState => {
  if (type === 'TenantCreated') return founded(data);
  if (state.status === 'none') return state;
  switch (type) {
    case 'TenantRenamed':
      return { ...state, name: data.name };
    case 'TenantSuspended':
      return { ...state, status: 'suspended', suspended: true };
    case 'TenantReactivated':
      return { ...state, status: 'active', suspended: false };
    case 'TenantCompliancePolicyAssigned':
      return { ...state, compliancePolicyId: data.compliancePolicyId };
    case 'TenantDescribed':
      return { ...state, description: data.description };
    case 'TenantValidityChanged':
      return { ...state, validUntil: data.validUntil };
    case 'TenantPlatformsChosen':
      return { ...state, platforms: data.platforms };
    case 'TenantPrivacyChosen':
      return { ...state, privacy: data.privacy };
    case 'TenantDirectoryChosen':
      return { ...state, directory: data.directory };
    case 'TenantStaleMailRuleChosen':
      return { ...state, staleMailRule: data.staleMailRule };
    case 'TenantUnknownMailDevicesChosen':
      return { ...state, unknownMailDevices: data.unknownMailDevices };
    case 'TenantDeletionRequested':
      return { ...state, status: 'deleted', deletion: { ...data, begun: false }, support: null };
    case 'TenantDeletionCancelled':
      return { ...state, status: state.suspended ? 'suspended' : 'active', deletion: null };
    case 'TenantPurgeBegun':
      return { ...state, deletion: state.deletion && { ...state.deletion, begun: true } };
    case 'TenantErased':
      return {
        ...state,
        recentlyErased: [...state.recentlyErased, data.tenantId].slice(-rememberedErasures),
      };
    case 'SupportAccessGranted':
      return { ...state, support: data };
    case 'SupportAccessRevoked':
      return { ...state, support: null };
    case 'SupportAccessUsed':
      return state;
    case 'TenantTemplateDeployed': {
      const { templateId: id, version, items } = data;
      return { ...state, templates: { ...state.templates, [id]: { version, items } } };
    }
    default:
      return never(type);
  }
};
