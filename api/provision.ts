/**
 * Provisions tenants: a tenant with its first administrator and a default compliance policy, and further
 * administrators when a tenant has locked itself out. Called by api/graphql/tenant.ts.
 */
import { accountDecider } from '../domain/account/decide.ts';
import { rules } from '../domain/compliance/rules/index.ts';
import type { Action, ComplianceSettings } from '../domain/compliance/settings.ts';
import { compliancePolicyDecider } from '../domain/compliance-policy/decide.ts';
import type { AccountId, TenantId } from '../domain/ids.ts';
import { type LicenceCommand, licenceDecider } from '../domain/licence/decide.ts';
import type { Allotment } from '../domain/licence/licence.ts';
import { isRefusal, type Refusal } from '../domain/refusals.ts';
import { tenantDecider } from '../domain/tenant/decide.ts';
import { platforms } from '../domain/text.ts';
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
  const compliancePolicyId = newId('cmp');
  const policy = await deps.handler.handle(
    compliancePolicyDecider,
    { tenantId, id: compliancePolicyId },
    { type: 'CreateCompliancePolicy', name: 'Default', settings: defaultComplianceSettings },
    cause,
  );
  if (isRefusal(policy)) return policy;
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
  const assigned = await deps.handler.handle(
    tenantDecider,
    target,
    { type: 'AssignTenantCompliancePolicy', compliancePolicyId },
    cause,
  );
  if (isRefusal(assigned)) return assigned;
  const last = allotment
    ? await deps.handler.handle(licenceDecider, theLicence, allotmentCommand(tenantId, allotment), cause)
    : assigned;
  if (isRefusal(last)) return last;
  const { accountId, oneTimePassword } = administrator;
  return { tenantId, accountId, oneTimePassword, position: last.position ?? assigned.position };
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
