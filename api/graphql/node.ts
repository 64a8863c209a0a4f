/**
 * `node` and `nodes`: anything by its id, within the account's own tenant. Listed in schema.ts.
 */
import { z } from 'zod';
import type * as ids from '../../domain/ids.ts';
import { findAccount } from '../../projections/accounts.ts';
import { findApiKey } from '../../projections/api-keys.ts';
import { findApproval } from '../../projections/approvals.ts';
import { findCompliancePolicy } from '../../projections/compliance-policies.ts';
import { findDeployment } from '../../projections/deployments.ts';
import { findDevice } from '../../projections/devices.ts';
import { findEnrolment } from '../../projections/enrolments.ts';
import { findGroup } from '../../projections/groups.ts';
import { findHandout } from '../../projections/handouts.ts';
import { findImport } from '../../projections/imports.ts';
import { findMailSighting } from '../../projections/mail-sightings.ts';
import { findPolicy } from '../../projections/policies.ts';
import { findProxy } from '../../projections/proxies.ts';
import { findRole } from '../../projections/roles.ts';
import { findTaskBundle } from '../../projections/task-bundles.ts';
import { findTask } from '../../projections/tasks.ts';
import { findTemplate } from '../../projections/templates.ts';
import { findTransfer } from '../../projections/transfers.ts';
import { findUserGroup } from '../../projections/user-groups.ts';
import { findUser } from '../../projections/users.ts';
import { builder } from './builder.ts';
import { type ApiContext, signedIn } from './context.ts';
import { typenameOf } from './node-id.ts';
import { readPermissionOf } from './readable.ts';
import { ownView } from './role-view.ts';
import { visibleTenant } from './tenant-type.ts';

type Find = (context: ApiContext, id: string) => Promise<object | undefined>;

/** How each node type is found; every one looks within the account's tenant alone. */
const finders: Readonly<Record<string, Find>> = {
  Tenant: (context, id) => visibleTenant(context, id as ids.TenantId),
  Account: ({ deps, ...context }, id) => findAccount(deps.sql, tenantOf(context), id as ids.AccountId),
  Device: ({ deps, ...context }, id) => findDevice(deps.sql, tenantOf(context), id as ids.DeviceId),
  Enrolment: ({ deps, ...context }, id) => findEnrolment(deps.sql, tenantOf(context), id as ids.EnrolmentId),
  DeviceGroup: ({ deps, ...context }, id) => findGroup(deps.sql, tenantOf(context), id as ids.GroupId),
  Policy: ({ deps, ...context }, id) => findPolicy(deps.sql, tenantOf(context), id as ids.PolicyId),
  CompliancePolicy: ({ deps, ...context }, id) =>
    findCompliancePolicy(deps.sql, tenantOf(context), id as ids.CompliancePolicyId),
  TaskBundle: ({ deps, ...context }, id) =>
    findTaskBundle(deps.sql, tenantOf(context), id as ids.TaskBundleId),
  Transfer: ({ deps, ...context }, id) => findTransfer(deps.sql, tenantOf(context), id as ids.TransferId),
  Task: ({ deps, ...context }, id) => findTask(deps.sql, tenantOf(context), id as ids.TaskId),
  Proxy: ({ deps, ...context }, id) => findProxy(deps.sql, tenantOf(context), id as ids.ProxyId),
  Role: async ({ deps, ...context }, id) => {
    const row = await findRole(deps.sql, tenantOf(context), id as ids.RoleId);
    return row && ownView(row);
  },
  ApiKey: ({ deps, ...context }, id) => findApiKey(deps.sql, tenantOf(context), id as ids.ApiKeyId),
  Approval: ({ deps, ...context }, id) => findApproval(deps.sql, tenantOf(context), id as ids.ApprovalId),
  Template: ({ deps, ...context }, id) => findTemplate(deps.sql, tenantOf(context), id as ids.TemplateId),
  Deployment: ({ deps, ...context }, id) =>
    findDeployment(deps.sql, tenantOf(context), id as ids.DeploymentId),
  User: ({ deps, ...context }, id) => findUser(deps.sql, tenantOf(context), id as ids.UserId),
  UserGroup: ({ deps, ...context }, id) => findUserGroup(deps.sql, tenantOf(context), id as ids.UserGroupId),
  MailSighting: ({ deps, ...context }, id) =>
    findMailSighting(deps.sql, tenantOf(context), id as ids.MailSightingId),
  Import: ({ deps, ...context }, id) => findImport(deps.sql, tenantOf(context), id as ids.ImportId),
  Handout: ({ deps, ...context }, id) => findHandout(deps.sql, tenantOf(context), id as ids.HandoutId),
};

const tenantOf = (context: Pick<ApiContext, 'credential'>) => signedIn(context).tenantId;

/** What the id names, or null: what the caller may not read, or another tenant has, is missing like what never was. */
const findNode = async (context: ApiContext, id: string): Promise<object | null> => {
  const __typename = typenameOf(id);
  const permission = readPermissionOf(__typename);
  if (permission !== undefined && !signedIn(context).permissions.has(permission)) return null;
  const found = await finders[__typename]?.(context, id);
  return found ? { ...found, __typename } : null;
};

const Node = builder.nodeInterfaceRef();

builder.queryField('node', (t) =>
  t.field({
    type: Node,
    nullable: true,
    description: 'Anything by its id; null when the tenant has nothing of that id.',
    authScopes: { member: true },
    args: { id: t.arg.id({ required: true }) },
    resolve: (_root, { id }, context) => findNode(context, id) as never,
  }),
);

builder.queryField('nodes', (t) =>
  t.field({
    type: [Node],
    nullable: { list: false, items: true },
    description: 'The same for several ids, in their order, at most 100.',
    authScopes: { member: true },
    args: { ids: t.arg.idList({ required: true }).validate(z.array(z.string()).max(100)) },
    resolve: (_root, args, context) => Promise.all(args.ids.map((id) => findNode(context, id))) as never,
  }),
);
