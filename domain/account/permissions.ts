/**
 * What an account can be allowed to do. Every GraphQL root field and REST route of accounts names one of these.
 * Called by roles.ts and by the guards of api/.
 */
import { z } from 'zod';

/** Permission → what it allows, within the account's own tenant. Whoever may change something may read it. */
export const permissions = {
  'account.manage': 'Create, disable and enable accounts, and reset their passwords.',
  'account.read': 'See the accounts of the tenant.',
  'alert.read': 'See alerts.',
  'api-key.manage': 'Create and revoke API keys.',
  'api-key.read': 'See API keys, without their secrets.',
  'app.read': 'See the apps that devices report.',
  'approval.decide': 'Approve or refuse what others asked to do to many devices.',
  'approval.read': 'See what waits for approval, and what was approved.',
  'audit.read': 'See the audit trail and follow the events of the tenant.',
  'compliance-policy.manage': 'Create, revise, assign and retire compliance policies.',
  'compliance-policy.read': 'See compliance policies and the rules there are.',
  'device.act': 'Send tasks to devices that lose nothing: message, lock, refresh, apps, passcode.',
  'device.manage': 'Register and rename devices, assign policies, change groups and mail access.',
  'device.read': 'See devices, their inventory, tasks and verdicts.',
  'device.wipe': 'Wipe and unenrol devices.',
  'directory.manage': 'Configure the LDAP directory of the tenant.',
  'directory.read': 'See the settings of the directory and look people up in it.',
  'enrolment.manage': 'Create and revoke enrolment codes.',
  'enrolment.read': 'See enrolments.',
  'exchange.manage': 'Configure Exchange connections and have mailboxes reconciled.',
  'exchange.read': 'See Exchange connections, what they did, and unknown partnerships.',
  'group.manage': 'Create, rename and assign device groups.',
  'group.read': 'See device groups.',
  'operator.jobs': 'See, retry and discard jobs that failed for good, of the whole installation.',
  'operator.licence': 'See and activate the licence, and split its seats among tenants.',
  'operator.support': 'Enter tenants that grant support access.',
  'operator.templates': 'Define templates and deploy them to tenants.',
  'operator.tenants': 'See, create, change, suspend and delete tenants of the installation.',
  'policy.manage': 'Create, revise and retire policies.',
  'policy.read': 'See policies.',
  'proxy.manage': 'Register and revoke EAS proxies.',
  'proxy.read': 'See EAS proxies.',
  'sign-in.manage': 'Change how accounts sign in: passwords, sessions, addresses, challenge.',
  'role.manage': 'Create, change and retire roles of the tenant, and give roles to accounts.',
  'role.read': 'See roles and what they allow.',
  'support.manage': 'Grant the operator time-limited support access, and revoke it.',
  'task-bundle.manage': 'Create, revise and retire task bundles.',
  'task-bundle.read': 'See task bundles, their transfers and the types of task.',
  'task-bundle.transfer': 'Transfer task bundles to devices and groups.',
  'tenant.manage': 'Change the settings of the tenant.',
  'tenant.read': 'See the tenant and its settings.',
  'user.manage': 'Create, change, import and remove users, and put them into user groups.',
  'user.read': 'See users and user groups.',
} as const;

/** One thing that can be allowed. */
export type Permission = keyof typeof permissions;

/** Every permission, in alphabetical order. */
export const permissionNames = Object.keys(permissions) as [Permission, ...Permission[]];

/** Schema of a permission. */
export const permission = z.enum(permissionNames);

/** The permission to read what `name` lets change; none where there is nothing to read. */
export const readOf = (name: Permission): Permission[] => {
  const read = `${name.slice(0, name.lastIndexOf('.'))}.read`;
  return permissionNames.filter((known) => known === read);
};

/** Whether it concerns the installation as a whole: such a permission exists in the operator tenant only. */
export const isOperatorPermission = (name: Permission): boolean => name.startsWith('operator.');
