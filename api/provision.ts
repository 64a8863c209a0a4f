/**
 * Provisions tenants: a tenant with its first administrator and a default compliance policy, and further
 * administrators when a tenant has locked itself out. Called by api/graphql/tenant.ts.
 */
import { accountDecider } from '../domain/account/decide.ts';
import { rules } from '../domain/compliance/rules/index.ts';
import type { Action, ComplianceSettings } from '../domain/compliance/settings.ts';
import { compliancePolicyDecider } from '../domain/compliance-policy/decide.ts';
import type { AccountId, CompliancePolicyId, TenantId } from '../domain/ids.ts';
import { type LicenceCommand, licenceDecider } from '../domain/licence/decide.ts';
import type { Allotment } from '../domain/licence/licence.ts';
import { isRefusal, type Refusal } from '../domain/refusals.ts';
import type { PlannedItem } from '../domain/template/plan.ts';
import { type TenantChanges, type TenantCommand, tenantDecider } from '../domain/tenant/decide.ts';
import { type ExistingTenant, evolveTenant, initialTenant } from '../domain/tenant/tenant.ts';
import { platforms } from '../domain/text.ts';
import {
  applyItems,
  applySettings,
  planDeployment,
  type TemplateVersion,
} from '../platform/deploy-template.ts';
import type { Deps } from '../platform/deps.ts';
import type { Cause } from '../platform/handle.ts';
import { theLicence } from '../platform/licence.ts';
import { newId } from '../platform/new-id.ts';
import type { Credentials } from './credentials.ts';
import { holderOf, reserve } from './reservation.ts';

/** Rules of the default compliance policy, with their parameters: what every fleet should satisfy. */
const defaults: Readonly<Record<string, Record<string, unknown>>> = {
  managed: {},
  'not-rooted': {},
  'screen-lock': {},
  encryption: {},
  'maximum-sync-gap': { minutes: 7 * 24 * 60 },
};

/** The compliance policy that a new tenant starts with: violations deny mail and create an alert. */
export const defaultComplianceSettings: ComplianceSettings = Object.fromEntries(
  platforms.map((platform) => [
    platform,
    rules
      .filter((rule) => rule.name in defaults && rule.platforms.includes(platform as never))
      .map((rule) => ({
        rule: rule.name,
        parameters: defaults[rule.name] ?? {},
        actions: [{ action: 'deny-mail' }, { action: 'create-alert' }] satisfies Action[],
      })),
  ]),
);

/** What a new tenant needs. */
export interface NewTenant {
  readonly name: string;
  readonly slug: string;
  readonly administrator: { readonly email: string; readonly name: string };
  /** Of the licence; without it the tenant can enrol nothing until it is allotted seats. */
  readonly allotment?: Allotment | undefined;
  /** Said of the tenant at once; what a template says comes after. */
  readonly changes?: TenantChanges;
  readonly template?: TemplateVersion | undefined;
}

/** A provisioned administrator; the password is shown this once. `position` is of the last event. */
export interface Provisioned {
  readonly tenantId: TenantId;
  readonly accountId: AccountId;
  readonly oneTimePassword: string;
  readonly position: bigint | undefined;
}

type Parts = {
  readonly deps: Pick<Deps, 'handler'>;
  readonly credentials: Credentials;
  readonly cause: Cause;
};

const createAdministrator = async (
  { deps, credentials, cause }: Parts,
  tenantId: TenantId,
  administrator: NewTenant['administrator'],
): Promise<{ accountId: AccountId; oneTimePassword: string; position: bigint | undefined } | Refusal> => {
  const accountId = newId('acc');
  const { email } = administrator;
  const refused = await reserve(
    deps.handler,
    { kind: 'account-email', value: email, tenantId },
    accountId,
    cause,
  );
  if (refused) return refused;
  const target = { tenantId, id: accountId };
  const created = await deps.handler.handle(
    accountDecider,
    target,
    { type: 'CreateAccount', ...administrator, role: 'administrator' },
    cause,
  );
  return isRefusal(created) ? created : issue({ deps, credentials, cause }, tenantId, accountId);
};

const issue = async ({ deps, credentials, cause }: Parts, tenantId: TenantId, accountId: AccountId) => {
  const oneTimePassword = await credentials.passwords.issue({ tenantId, accountId });
  const changed = await deps.handler.handle(
    accountDecider,
    { tenantId, id: accountId },
    { type: 'ChangeAccountPassword', mustChange: true },
    cause,
  );
  return isRefusal(changed) ? changed : { accountId, oneTimePassword, position: changed.position };
};

const allotmentCommand = (tenantId: TenantId, allotment: Allotment): LicenceCommand => ({
  type: 'AllotSeats',
  tenantId,
  ...allotment,
});

/** Refuses what the licence would refuse, before anything of the tenant is made. */
const rehearseAllotment = async (
  { deps }: Parts,
  tenantId: TenantId,
  allotment: Allotment,
): Promise<Refusal | undefined> => {
  const { state } = await deps.handler.load(licenceDecider, theLicence);
  const decided = licenceDecider.decide(allotmentCommand(tenantId, allotment), state);
  return isRefusal(decided) ? decided : undefined;
};

/** The state of a tenant that is about to be created. */
const unborn = evolveTenant(initialTenant, {
  type: 'TenantCreated',
  at: '',
  data: { name: 'New', slug: 'new', kind: 'customer' },
}) as ExistingTenant;

/** What a template brings to a tenant that has nothing: everything. */
const planFor = ({ deps }: Parts, tenantId: TenantId, template: TemplateVersion) =>
  planDeployment(deps.handler, {
    tenantId,
    tenant: unborn,
    template,
    names: new Map(),
    overwrite: true,
  });

/** Sets what is said of the tenant itself, once it exists. */
const settleTenant = async (
  { deps, cause }: Parts,
  tenantId: TenantId,
  { changes = {}, template }: NewTenant,
  compliancePolicyId: CompliancePolicyId | null,
  plan: readonly PlannedItem[] | undefined,
): Promise<{ readonly position: bigint | undefined } | Refusal> => {
  let position: bigint | undefined;
  const say = async (command: TenantCommand): Promise<Refusal | undefined> => {
    const handled = await deps.handler.handle(tenantDecider, { tenantId, id: tenantId }, command, cause);
    if (isRefusal(handled)) return handled;
    position = handled.position ?? position;
    return undefined;
  };
  const refused =
    compliancePolicyId && (await say({ type: 'AssignTenantCompliancePolicy', compliancePolicyId }));
  if (refused) return refused;
  if (template && plan) {
    const applied = await applySettings(deps.handler, { tenantId, tenant: unborn, template }, plan, cause);
    if (isRefusal(applied)) return applied;
    position = applied.position ?? position;
  }
  // What the operator says of this tenant wins over what the template says of every tenant.
  return (await say({ type: 'ConfigureTenant', changes })) ?? { position };
};

/**
 * Creates a tenant, or refuses `name-taken` (`slug`). Everything within it is made first and the tenant itself last:
 * if this fails half way there is no tenant, nobody can sign in to it, and its short name is free again in a minute.
 * Its seats follow, so that none are allotted to a tenant that never was.
 */
export const provisionTenant = async (parts: Parts, tenant: NewTenant): Promise<Provisioned | Refusal> => {
  const { deps, cause } = parts;
  const tenantId = newId('ten');
  const { allotment } = tenant;
  const unlicensed = allotment && (await rehearseAllotment(parts, tenantId, allotment));
  if (unlicensed) return unlicensed;
  const taken = await reserve(deps.handler, { kind: 'tenant-slug', value: tenant.slug }, tenantId, cause);
  if (taken) return taken;
  // A template that puts the tenant under a compliance policy of its own leaves no use for the default one.
  const ownPolicy = tenant.template?.content.settings.compliancePolicyId !== undefined;
  const compliancePolicyId = ownPolicy ? null : newId('cmp');
  if (compliancePolicyId !== null) {
    const policy = await deps.handler.handle(
      compliancePolicyDecider,
      { tenantId, id: compliancePolicyId },
      { type: 'CreateCompliancePolicy', name: 'Default', settings: defaultComplianceSettings },
      cause,
    );
    if (isRefusal(policy)) return policy;
  }
  const plan = tenant.template && (await planFor(parts, tenantId, tenant.template));
  const refused = plan && (await applyItems(deps.handler, tenantId, plan, cause));
  if (refused) return refused;
  const administrator = await createAdministrator(parts, tenantId, tenant.administrator);
  if (isRefusal(administrator)) return administrator;
  const target = { tenantId, id: tenantId };
  const { name, slug } = tenant;
  const created = await deps.handler.handle(
    tenantDecider,
    target,
    { type: 'CreateTenant', name, slug, kind: 'customer' },
    cause,
  );
  if (isRefusal(created)) return created;
  const settled = await settleTenant(parts, tenantId, tenant, compliancePolicyId, plan);
  if (isRefusal(settled)) return settled;
  const last = allotment
    ? await deps.handler.handle(licenceDecider, theLicence, allotmentCommand(tenantId, allotment), cause)
    : settled;
  if (isRefusal(last)) return last;
  const { accountId, oneTimePassword } = administrator;
  return {
    tenantId,
    accountId,
    oneTimePassword,
    position: last.position ?? settled.position ?? created.position,
  };
};

/** Gives a tenant an administrator of that e-mail: a new one, or a new one-time password for the present one. */
export const provisionAdministrator = async (
  parts: Parts,
  tenantId: TenantId,
  administrator: NewTenant['administrator'],
): Promise<Provisioned | Refusal> => {
  const { deps, credentials, cause } = parts;
  const unique = { kind: 'account-email', value: administrator.email, tenantId } as const;
  const holder = (await holderOf(deps.handler, unique)) as AccountId | null;
  const known =
    holder && (await deps.handler.load(accountDecider, { tenantId, id: holder })).state.status !== 'none';
  if (!holder || !known) {
    const created = await createAdministrator(parts, tenantId, administrator);
    return isRefusal(created) ? created : { tenantId, ...created };
  }
  const target = { tenantId, id: holder };
  const enabled = await deps.handler.handle(accountDecider, target, { type: 'EnableAccount' }, cause);
  if (isRefusal(enabled)) return enabled;
  await credentials.sessions.endAll(tenantId, holder);
  const issued = await issue(parts, tenantId, holder);
  return isRefusal(issued) ? issued : { tenantId, ...issued };
};
