/**
 * The enumerations of the domain in GraphQL: upper case, with underscores. Called by api/graphql/<noun>.ts.
 */
import type { EnumRef } from '@pothos/core';
import { secondFactor } from '../../domain/account/account.ts';
import { permissionNames } from '../../domain/account/permissions.ts';
import { ruleNames } from '../../domain/compliance/rules/index.ts';
import { severity } from '../../domain/compliance/settings.ts';
import { verdict } from '../../domain/compliance/verdict.ts';
import { mailAccess, pushProvider } from '../../domain/device/device.ts';
import { importKind, importMode, rowOutcome } from '../../domain/import/import.ts';
import { edition } from '../../domain/licence/licence.ts';
import { policyType } from '../../domain/policy/policy.ts';
import { challengeProvider, portal, signInMethod } from '../../domain/sign-in/sign-in.ts';
import { taskTypeNames } from '../../domain/task-bundle/tasks/index.ts';
import { itemKinds } from '../../domain/template/content.ts';
import { itemActions } from '../../domain/template/plan.ts';
import { directory, supportLevel, tenantKind, unknownMailDevices } from '../../domain/tenant/tenant.ts';
import { ownership, platforms } from '../../domain/text.ts';
import { queueNames } from '../../platform/queue.ts';
import { approvalStatuses } from '../../projections/approvals.ts';
import { taskStates } from '../../projections/tasks.ts';
import { builder, type Types } from './builder.ts';

/** The GraphQL name of a value: `non-compliant` is `NON_COMPLIANT`. */
const nameOf = (value: string): string => value.replace(/[-.]/g, '_').toUpperCase();

const enumOf = <Value extends string>(name: string, values: readonly Value[]) =>
  builder.enumType(name, {
    values: Object.fromEntries(values.map((value) => [nameOf(value), { value }])),
  }) as unknown as EnumRef<Types, Value, Value>;

export const Permission = enumOf('Permission', permissionNames);
export const ApprovalStatus = enumOf('ApprovalStatus', approvalStatuses);
export const ApiKeyStatus = enumOf('ApiKeyStatus', ['active', 'revoked']);
export const SignInMethod = enumOf('SignInMethod', signInMethod.options);
export const AccountStatus = enumOf('AccountStatus', ['enabled', 'disabled']);
export const TenantKind = enumOf('TenantKind', tenantKind.options);
export const TenantStatus = enumOf('TenantStatus', ['active', 'suspended', 'deleted']);
export const DirectoryKind = enumOf('DirectoryKind', directory.options);
export const SupportLevel = enumOf('SupportLevel', supportLevel.options);
export const TemplateItemKind = enumOf('TemplateItemKind', itemKinds);
export const TemplateItemAction = enumOf('TemplateItemAction', itemActions);
export const DeploymentStatus = enumOf('DeploymentStatus', ['running', 'finished']);
export const DeploymentOutcome = enumOf('DeploymentOutcome', ['done', 'failed', 'skipped']);
export const Platform = enumOf('Platform', platforms);
export const Ownership = enumOf('Ownership', ownership.options);
export const DeviceStatus = enumOf('DeviceStatus', ['registered', 'enrolled', 'unenrolled']);
export const MailAccess = enumOf('MailAccess', mailAccess.options);
export const MailDecision = enumOf('MailDecision', ['allow', 'deny']);
export const PushProvider = enumOf('PushProvider', pushProvider.options);
export const ComplianceStatus = enumOf('ComplianceStatus', verdict.shape.status.options);
export const Severity = enumOf('Severity', severity.options);
export const RuleName = enumOf('ComplianceRuleName', ruleNames);
export const PolicyType = enumOf('PolicyType', policyType.options);
export const PolicyStatus = enumOf('PolicyStatus', ['active', 'retired']);
export const EnrolmentStatus = enumOf('EnrolmentStatus', ['open', 'used', 'revoked', 'expired']);
export const ProxyStatus = enumOf('ProxyStatus', ['active', 'revoked']);
export const StaleMailRule = enumOf('StaleMailRule', ['deny', 'allow-known']);
export const UnknownMailDevices = enumOf('UnknownMailDevices', unknownMailDevices.options);
export const MailSightingStatus = enumOf('MailSightingStatus', ['open', 'bound', 'dismissed']);
export const TaskTypeName = enumOf('TaskTypeName', taskTypeNames);
export const TaskState = enumOf('TaskState', taskStates);
export const Edition = enumOf('Edition', edition.options);
export const LicenceKind = enumOf('LicenceKind', ['trial', 'key']);
export const LicenceValidity = enumOf('LicenceValidity', ['valid', 'expiring', 'expired']);
export const ActorKind = enumOf('ActorKind', ['account', 'api-key', 'device', 'proxy', 'system', 'user']);
export const Portal = enumOf('Portal', portal.options);
export const ChallengeProvider = enumOf('ChallengeProvider', challengeProvider.options);
export const SecondFactorKind = enumOf('SecondFactor', secondFactor.options);
export const SignInStep = enumOf('SignInStep', ['signed-in', 'challenge', 'second-factor']);
export const PasswordDueEnum = enumOf('PasswordDue', ['issued', 'expired']);
export const QueueNameEnum = enumOf('QueueName', queueNames);
export const UserStatus = enumOf('UserStatus', ['active', 'disabled']);
export const UserSourceKind = enumOf('UserSourceKind', ['internal', 'ldap']);
export const ImportKindEnum = enumOf('ImportKind', importKind.options);
export const ImportModeEnum = enumOf('ImportMode', importMode.options);
export const ImportStatus = enumOf('ImportStatus', ['running', 'finished', 'abandoned']);
export const RowOutcomeEnum = enumOf('RowOutcome', rowOutcome.options);
export const HandoutStatus = enumOf('HandoutStatus', ['running', 'finished']);
