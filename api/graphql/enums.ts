/**
 * The enumerations of the domain in GraphQL: upper case, with underscores. Called by api/graphql/<noun>.ts.
 */
import type { EnumRef } from '@pothos/core';
import { role } from '../../domain/account/roles.ts';
import { ruleNames } from '../../domain/compliance/rules/index.ts';
import { severity } from '../../domain/compliance/settings.ts';
import { verdict } from '../../domain/compliance/verdict.ts';
import { mailAccess, pushProvider } from '../../domain/device/device.ts';
import { importKind, importMode, rowOutcome } from '../../domain/import/import.ts';
import { policyType } from '../../domain/policy/policy.ts';
import { taskTypeNames } from '../../domain/task-bundle/tasks/index.ts';
import { tenantKind } from '../../domain/tenant/tenant.ts';
import { ownership, platforms } from '../../domain/text.ts';
import { queueNames } from '../../platform/queue.ts';
import { taskStates } from '../../projections/tasks.ts';
import { builder, type Types } from './builder.ts';

/** The GraphQL name of a value: `non-compliant` is `NON_COMPLIANT`. */
const nameOf = (value: string): string => value.replaceAll('-', '_').toUpperCase();

const enumOf = <Value extends string>(name: string, values: readonly Value[]) =>
  builder.enumType(name, {
    values: Object.fromEntries(values.map((value) => [nameOf(value), { value }])),
  }) as unknown as EnumRef<Types, Value, Value>;

export const Role = enumOf('Role', role.options);
export const AccountStatus = enumOf('AccountStatus', ['enabled', 'disabled']);
export const TenantKind = enumOf('TenantKind', tenantKind.options);
export const TenantStatus = enumOf('TenantStatus', ['active', 'suspended']);
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
export const TaskTypeName = enumOf('TaskTypeName', taskTypeNames);
export const TaskState = enumOf('TaskState', taskStates);
export const ActorKind = enumOf('ActorKind', ['account', 'device', 'proxy', 'system']);
export const QueueNameEnum = enumOf('QueueName', queueNames);
export const UserStatus = enumOf('UserStatus', ['active', 'disabled']);
export const UserSourceKind = enumOf('UserSourceKind', ['internal', 'ldap']);
export const ImportKindEnum = enumOf('ImportKind', importKind.options);
export const ImportModeEnum = enumOf('ImportMode', importMode.options);
export const ImportStatus = enumOf('ImportStatus', ['running', 'finished', 'abandoned']);
export const RowOutcomeEnum = enumOf('RowOutcome', rowOutcome.options);
export const HandoutStatus = enumOf('HandoutStatus', ['running', 'finished']);
