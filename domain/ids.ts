/**
 * Branded, sortable ids of every aggregate: three letters of kind and a lower-case ULID, with no separator,
 * so that a stream name `<category>-<tenantId>_<id>` splits in one way only.
 * Called everywhere; new ids are made by platform/new-id.ts, since the domain has no randomness.
 */
import { z } from 'zod';

const idOf = <Brand extends string>(prefix: string) =>
  z
    .string()
    .regex(new RegExp(`^${prefix}[0-9a-hjkmnp-tv-z]{26}$`), `an id of the form ${prefix}… (29 characters)`)
    .brand<Brand>();

/** Schema of each kind of id, by its three-letter prefix. */
export const tenantId = idOf<'TenantId'>('ten');
export const accountId = idOf<'AccountId'>('acc');
export const deviceId = idOf<'DeviceId'>('dev');
export const enrolmentId = idOf<'EnrolmentId'>('enr');
export const groupId = idOf<'GroupId'>('grp');
export const policyId = idOf<'PolicyId'>('pol');
export const compliancePolicyId = idOf<'CompliancePolicyId'>('cmp');
export const taskBundleId = idOf<'TaskBundleId'>('bdl');
export const transferId = idOf<'TransferId'>('trf');
export const taskId = idOf<'TaskId'>('tsk');
export const proxyId = idOf<'ProxyId'>('prx');
export const roleId = idOf<'RoleId'>('rol');
export const apiKeyId = idOf<'ApiKeyId'>('key');
export const passkeyId = idOf<'PasskeyId'>('pky');
export const approvalId = idOf<'ApprovalId'>('apr');
export const licenceId = idOf<'LicenceId'>('lic');
export const templateId = idOf<'TemplateId'>('tpl');
export const deploymentId = idOf<'DeploymentId'>('dpl');
export const userId = idOf<'UserId'>('usr');
export const userGroupId = idOf<'UserGroupId'>('ugr');
export const importId = idOf<'ImportId'>('imp');
export const handoutId = idOf<'HandoutId'>('hnd');
export const mailSightingId = idOf<'MailSightingId'>('sgt');

export type TenantId = z.infer<typeof tenantId>;
export type AccountId = z.infer<typeof accountId>;
export type DeviceId = z.infer<typeof deviceId>;
export type EnrolmentId = z.infer<typeof enrolmentId>;
export type GroupId = z.infer<typeof groupId>;
export type PolicyId = z.infer<typeof policyId>;
export type CompliancePolicyId = z.infer<typeof compliancePolicyId>;
export type TaskBundleId = z.infer<typeof taskBundleId>;
export type TransferId = z.infer<typeof transferId>;
export type TaskId = z.infer<typeof taskId>;
export type ProxyId = z.infer<typeof proxyId>;
export type RoleId = z.infer<typeof roleId>;
export type ApiKeyId = z.infer<typeof apiKeyId>;
export type PasskeyId = z.infer<typeof passkeyId>;
export type ApprovalId = z.infer<typeof approvalId>;
export type LicenceId = z.infer<typeof licenceId>;
export type TemplateId = z.infer<typeof templateId>;
export type DeploymentId = z.infer<typeof deploymentId>;
export type UserId = z.infer<typeof userId>;
export type UserGroupId = z.infer<typeof userGroupId>;
export type ImportId = z.infer<typeof importId>;
export type HandoutId = z.infer<typeof handoutId>;
export type MailSightingId = z.infer<typeof mailSightingId>;
