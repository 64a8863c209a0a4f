/**
 * The registry of projections: a new read model is a file beside this one and a line here.
 * Called by main.ts.
 */
import { accountsProjection } from './accounts.ts';
import { alertsProjection } from './alerts.ts';
import { apiKeysProjection } from './api-keys.ts';
import { approvalsProjection } from './approvals.ts';
import { appsProjection } from './apps.ts';
import { auditProjection } from './audit.ts';
import { compliancePoliciesProjection } from './compliance-policies.ts';
import { deploymentsProjection } from './deployments.ts';
import { devicesProjection } from './device-table.ts';
import { directoriesProjection } from './directories.ts';
import { enrolmentsProjection } from './enrolments.ts';
import { exchangeProjection } from './exchange.ts';
import { groupsProjection } from './groups.ts';
import { handoutsProjection } from './handouts.ts';
import { importsProjection } from './imports.ts';
import { licenceProjection } from './licence.ts';
import { mailProjection } from './mail.ts';
import { mailSightingsProjection } from './mail-sightings.ts';
import { policiesProjection } from './policies.ts';
import type { Projection } from './projection.ts';
import { proxiesProjection } from './proxies.ts';
import { rolesProjection } from './roles.ts';
import { taskBundlesProjection } from './task-bundles.ts';
import { tasksProjection } from './tasks.ts';
import { templatesProjection } from './templates.ts';
import { tenantActivityProjection } from './tenant-activity.ts';
import { tenantsProjection } from './tenants.ts';
import { transfersProjection } from './transfers.ts';
import { userGroupsProjection } from './user-groups.ts';
import { usersProjection } from './users.ts';

/** Every read model of Muster. */
export const projections: readonly Projection[] = [
  accountsProjection,
  alertsProjection,
  apiKeysProjection,
  approvalsProjection,
  appsProjection,
  auditProjection,
  compliancePoliciesProjection,
  deploymentsProjection,
  devicesProjection,
  directoriesProjection,
  enrolmentsProjection,
  exchangeProjection,
  groupsProjection,
  licenceProjection,
  handoutsProjection,
  importsProjection,
  mailProjection,
  mailSightingsProjection,
  policiesProjection,
  proxiesProjection,
  rolesProjection,
  taskBundlesProjection,
  tasksProjection,
  templatesProjection,
  tenantActivityProjection,
  tenantsProjection,
  transfersProjection,
  userGroupsProjection,
  usersProjection,
];
