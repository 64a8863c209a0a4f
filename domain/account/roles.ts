/**
 * The built-in roles: which permissions each has. Exactly one role per account.
 * Called by account.ts and by the guards of api/.
 */
import { z } from 'zod';
import { isOperatorPermission, type Permission, permissionNames } from './permissions.ts';

const ofTenants = permissionNames.filter((name) => !isOperatorPermission(name));
const reads = ofTenants.filter((name) => name.endsWith('.read'));
/** What lets a person give away rights or change what everybody in the tenant depends on. */
const ownership: readonly Permission[] = [
  'account.manage',
  'api-key.manage',
  'approval.decide',
  'directory.manage',
  'exchange.manage',
  'proxy.manage',
  'role.manage',
  'sign-in.manage',
  'support.manage',
  'tenant.manage',
];
const internal: readonly Permission[] = [
  'account.read',
  'api-key.read',
  'approval.read',
  'audit.read',
  'role.read',
];

/** Built-in role → title, for whom it is, what it allows. `operator` exists in the operator tenant only. */
export const roles = {
  operator: {
    title: 'Operator',
    description: 'Runs the installation (super admin): everything, within the operator tenant.',
    permissions: permissionNames,
  },
  administrator: {
    title: 'Administrator',
    description: 'Everything within the tenant.',
    permissions: ofTenants,
  },
  'limited-administrator': {
    title: 'Limited Administrator',
    description: 'Daily device work; neither accounts nor the settings of the tenant.',
    permissions: ofTenants.filter((name) => !ownership.includes(name)),
  },
  reporting: {
    title: 'Reporting',
    description: 'Auditors: sees everything, changes nothing.',
    permissions: reads,
  },
  'content-administrator': {
    title: 'Content Administrator',
    description: 'Looks after policies, task bundles and apps; sends nothing to devices.',
    permissions: [
      'app.read',
      'device.read',
      'group.read',
      'policy.manage',
      'policy.read',
      'task-bundle.manage',
      'task-bundle.read',
      'tenant.read',
    ],
  },
  helpdesk: {
    title: 'Helpdesk',
    description: 'Helps people with their devices: enrols, locks, sends messages and task bundles.',
    permissions: [
      ...reads.filter((name) => !internal.includes(name)),
      'device.act',
      'enrolment.manage',
      'task-bundle.transfer',
    ],
  },
  'read-only': {
    title: 'Read-only',
    description: 'Sees devices and what is configured; neither accounts nor the audit trail.',
    permissions: reads.filter((name) => !internal.includes(name)),
  },
  'app-group-administrator': {
    title: 'App Group Administrator',
    description: 'Looks after lists of apps, and sees nothing else.',
    permissions: ['app.read', 'tenant.read'],
  },
  api: {
    title: 'API',
    description: 'Programs: reads devices, apps, groups, alerts and the events of the tenant.',
    permissions: ['alert.read', 'app.read', 'audit.read', 'device.read', 'group.read', 'tenant.read'],
  },
} as const satisfies Readonly<
  Record<string, { title: string; description: string; permissions: readonly Permission[] }>
>;

/** Name of a built-in role. */
export type Role = keyof typeof roles;

/** Schema of a built-in role. */
export const role = z.enum(Object.keys(roles) as [Role, ...Role[]]);

const sets = new Map<Role, ReadonlySet<Permission>>(
  Object.entries(roles).map(([name, { permissions }]) => [name as Role, new Set<Permission>(permissions)]),
);

/** What the role allows. */
export const permissionsOf = (name: Role): ReadonlySet<Permission> =>
  sets.get(name) as ReadonlySet<Permission>;

/** What support never may: what would outlast its grant, such as accounts and tokens. */
const withheldFromSupport: readonly Permission[] = [
  'account.manage',
  'api-key.manage',
  'approval.decide',
  'proxy.manage',
  'role.manage',
  'support.manage',
];

/** What an operator may in a tenant that grants support access, as an account of that role would. */
export const supportPermissionsOf = (name: Role): ReadonlySet<Permission> =>
  new Set([...permissionsOf(name)].filter((permission) => !withheldFromSupport.includes(permission)));
