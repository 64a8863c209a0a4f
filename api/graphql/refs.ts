/**
 * Every object type by name, with the row it shows, and the connections between them; fields are added by <noun>.ts.
 * Called by every api/graphql/<noun>.ts, so that nouns can name one another.
 */
import type { AccountRow } from '../../projections/accounts.ts';
import type { AlertRow } from '../../projections/alerts.ts';
import type { ApiKeyRow } from '../../projections/api-keys.ts';
import type { ApprovalRow } from '../../projections/approvals.ts';
import type { DeviceAppRow, TenantAppRow } from '../../projections/apps.ts';
import type { AuditRow } from '../../projections/audit.ts';
import type {
  CompliancePolicyRow,
  CompliancePolicyVersionRow,
} from '../../projections/compliance-policies.ts';
import type { DeploymentRow } from '../../projections/deployments.ts';
import type { DeviceRow } from '../../projections/devices.ts';
import type { EnrolmentRow } from '../../projections/enrolments.ts';
import type { GroupRow } from '../../projections/groups.ts';
import type { HandoutRow } from '../../projections/handouts.ts';
import type { ImportRow } from '../../projections/imports.ts';
import type { MailSightingRow } from '../../projections/mail-sightings.ts';
import type { PolicyRow, PolicyVersionRow } from '../../projections/policies.ts';
import type { ProxyRow } from '../../projections/proxies.ts';
import type { TaskBundleRow } from '../../projections/task-bundles.ts';
import type { TaskRow } from '../../projections/tasks.ts';
import type { TemplateRow } from '../../projections/templates.ts';
import type { TenantRow } from '../../projections/tenants.ts';
import type { TransferRow } from '../../projections/transfers.ts';
import type { UserGroupRow } from '../../projections/user-groups.ts';
import type { UserRow } from '../../projections/users.ts';
import { builder } from './builder.ts';
import { readable } from './readable.ts';
import type { RoleView } from './role-view.ts';

export const Account = readable('account.read', builder.objectRef<AccountRow>('Account'));
export const Alert = readable('alert.read', builder.objectRef<AlertRow>('Alert'));
export const ApiKey = readable('api-key.read', builder.objectRef<ApiKeyRow>('ApiKey'));
export const Approval = readable('approval.read', builder.objectRef<ApprovalRow>('Approval'));
export const App = readable('app.read', builder.objectRef<TenantAppRow>('App'));
export const AuditEntry = readable('audit.read', builder.objectRef<AuditRow>('AuditEntry'));
export const CompliancePolicy = readable(
  'compliance-policy.read',
  builder.objectRef<CompliancePolicyRow>('CompliancePolicy'),
);
export const CompliancePolicyVersion = readable(
  'compliance-policy.read',
  builder.objectRef<CompliancePolicyVersionRow>('CompliancePolicyVersion'),
);
export const Deployment = readable('operator.templates', builder.objectRef<DeploymentRow>('Deployment'));
export const Device = readable('device.read', builder.objectRef<DeviceRow>('Device'));
export const DeviceApp = readable('device.read', builder.objectRef<DeviceAppRow>('DeviceApp'));
export const DeviceGroup = readable('group.read', builder.objectRef<GroupRow>('DeviceGroup'));
export const Enrolment = readable('enrolment.read', builder.objectRef<EnrolmentRow>('Enrolment'));
export const Handout = readable('enrolment.read', builder.objectRef<HandoutRow>('Handout'));
export const Import = readable('user.read', builder.objectRef<ImportRow>('Import'));
export const MailSighting = readable('device.read', builder.objectRef<MailSightingRow>('MailSighting'));
export const Policy = readable('policy.read', builder.objectRef<PolicyRow>('Policy'));
export const PolicyVersion = readable('policy.read', builder.objectRef<PolicyVersionRow>('PolicyVersion'));
export const EasProxy = readable('proxy.read', builder.objectRef<ProxyRow>('Proxy'));
export const Role = builder.objectRef<RoleView>('Role');
export const Task = readable('device.read', builder.objectRef<TaskRow>('Task'));
export const TaskBundle = readable('task-bundle.read', builder.objectRef<TaskBundleRow>('TaskBundle'));
export const Template = readable('operator.templates', builder.objectRef<TemplateRow>('Template'));
export const Tenant = readable('tenant.read', builder.objectRef<TenantRow>('Tenant'));
export const Transfer = readable('task-bundle.read', builder.objectRef<TransferRow>('Transfer'));
export const User = readable('user.read', builder.objectRef<UserRow>('User'));
export const UserGroup = readable('user.read', builder.objectRef<UserGroupRow>('UserGroup'));
