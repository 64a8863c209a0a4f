/**
 * Every decider by category, for whoever folds history without knowing which noun it will meet.
 * Called by cli/replay.ts and by the laws that tests check on every noun.
 */

import { accessDecider } from './access/decide.ts';
import { accountDecider } from './account/decide.ts';
import { apiKeyDecider } from './api-key/decide.ts';
import { compliancePolicyDecider } from './compliance-policy/decide.ts';
import type { Decider } from './decider.ts';
import { deploymentDecider } from './deployment/decide.ts';
import { deviceDecider } from './device/decide.ts';
import { directoryDecider } from './directory/decide.ts';
import { enrolmentDecider } from './enrolment/decide.ts';
import { exchangeDecider } from './exchange/decide.ts';
import { groupDecider } from './group/decide.ts';
import { handoutDecider } from './handout/decide.ts';
import { identityProviderDecider } from './identity-provider/decide.ts';
import { importDecider } from './import/decide.ts';
import { licenceDecider } from './licence/decide.ts';
import { mailSightingDecider } from './mail-sighting/decide.ts';
import { policyDecider } from './policy/decide.ts';
import { proxyDecider } from './proxy/decide.ts';
import { reservationDecider } from './reservation/decide.ts';
import { roleDecider } from './role/decide.ts';
import { safeguardDecider } from './safeguard/decide.ts';
import { seatDecider } from './seat/decide.ts';
import { signInDecider } from './sign-in/decide.ts';
import { taskBundleDecider } from './task-bundle/decide.ts';
import { templateDecider } from './template/decide.ts';
import { tenantDecider } from './tenant/decide.ts';
import { userDecider } from './user/decide.ts';
import { userGroupDecider } from './user-group/decide.ts';

/** A decider whose state, command and event types are not known statically. */
export type AnyDecider = Decider<unknown, unknown, { readonly type: string; readonly data: unknown }>;

/** Every decider by category. */
export const deciders: ReadonlyMap<string, AnyDecider> = new Map(
  [
    accessDecider,
    accountDecider,
    apiKeyDecider,
    compliancePolicyDecider,
    deploymentDecider,
    deviceDecider,
    directoryDecider,
    enrolmentDecider,
    exchangeDecider,
    groupDecider,
    licenceDecider,
    handoutDecider,
    identityProviderDecider,
    importDecider,
    mailSightingDecider,
    policyDecider,
    proxyDecider,
    reservationDecider,
    signInDecider,
    roleDecider,
    safeguardDecider,
    seatDecider,
    taskBundleDecider,
    templateDecider,
    tenantDecider,
    userDecider,
    userGroupDecider,
  ].map((decider) => [decider.events.category, decider as unknown as AnyDecider]),
);
