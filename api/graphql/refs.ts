/**
 * Every object type by name, with the row it shows, and the connections between them; fields are added by <noun>.ts.
 * Called by every api/graphql/<noun>.ts, so that nouns can name one another.
 */
import type { AccountRow } from '../../projections/accounts.ts';
import type { AlertRow } from '../../projections/alerts.ts';
import type { DeviceAppRow, TenantAppRow } from '../../projections/apps.ts';
import type { AuditRow } from '../../projections/audit.ts';
import type {
  CompliancePolicyRow,
  CompliancePolicyVersionRow,
} from '../../projections/compliance-policies.ts';
import type { DeviceRow } from '../../projections/devices.ts';
import type { EnrolmentRow } from '../../projections/enrolments.ts';
import type { GroupRow } from '../../projections/groups.ts';
import type { HandoutRow } from '../../projections/handouts.ts';
import type { ImportRow } from '../../projections/imports.ts';
import type { PolicyRow, PolicyVersionRow } from '../../projections/policies.ts';
import type { ProxyRow } from '../../projections/proxies.ts';
import type { TaskBundleRow } from '../../projections/task-bundles.ts';
import type { TaskRow } from '../../projections/tasks.ts';
import type { TenantRow } from '../../projections/tenants.ts';
import type { TransferRow } from '../../projections/transfers.ts';
import type { UserGroupRow } from '../../projections/user-groups.ts';
import type { UserRow } from '../../projections/users.ts';
import { builder } from './builder.ts';

export const Account = builder.objectRef<AccountRow>('Account');
export const Alert = builder.objectRef<AlertRow>('Alert');
export const App = builder.objectRef<TenantAppRow>('App');
export const AuditEntry = builder.objectRef<AuditRow>('AuditEntry');
export const CompliancePolicy = builder.objectRef<CompliancePolicyRow>('CompliancePolicy');
export const CompliancePolicyVersion =
  builder.objectRef<CompliancePolicyVersionRow>('CompliancePolicyVersion');
export const Device = builder.objectRef<DeviceRow>('Device');
export const DeviceApp = builder.objectRef<DeviceAppRow>('DeviceApp');
export const DeviceGroup = builder.objectRef<GroupRow>('DeviceGroup');
export const Enrolment = builder.objectRef<EnrolmentRow>('Enrolment');
export const Handout = builder.objectRef<HandoutRow>('Handout');
export const Import = builder.objectRef<ImportRow>('Import');
export const Policy = builder.objectRef<PolicyRow>('Policy');
export const PolicyVersion = builder.objectRef<PolicyVersionRow>('PolicyVersion');
export const EasProxy = builder.objectRef<ProxyRow>('Proxy');
export const Task = builder.objectRef<TaskRow>('Task');
export const TaskBundle = builder.objectRef<TaskBundleRow>('TaskBundle');
export const Tenant = builder.objectRef<TenantRow>('Tenant');
export const Transfer = builder.objectRef<TransferRow>('Transfer');
export const User = builder.objectRef<UserRow>('User');
export const UserGroup = builder.objectRef<UserGroupRow>('UserGroup');
