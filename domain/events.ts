/**
 * The registry of every event Muster writes, by category. Called by platform/event-store.ts to read what is
 * stored (upcast, then validate) and by platform/handle.ts to stamp the schema version.
 */
import { accessEvents } from './access/access.ts';
import { accountEvents } from './account/account.ts';
import { apiKeyEvents } from './api-key/api-key.ts';
import { compliancePolicyEvents } from './compliance-policy/compliance-policy.ts';
import type { EventCatalogue } from './decider.ts';
import { deploymentEvents } from './deployment/deployment.ts';
import { deviceEvents } from './device/device.ts';
import { directoryEvents } from './directory/directory.ts';
import { enrolmentEvents } from './enrolment/enrolment.ts';
import { exchangeEvents } from './exchange/exchange.ts';
import { groupEvents } from './group/group.ts';
import { handoutEvents } from './handout/handout.ts';
import { identityProviderEvents } from './identity-provider/identity-provider.ts';
import { importEvents } from './import/import.ts';
import { licenceEvents } from './licence/licence.ts';
import { mailSightingEvents } from './mail-sighting/mail-sighting.ts';
import { policyEvents } from './policy/policy.ts';
import { proxyEvents } from './proxy/proxy.ts';
import { reservationEvents } from './reservation/reservation.ts';
import { roleEvents } from './role/role.ts';
import { safeguardEvents } from './safeguard/safeguard.ts';
import { seatEvents } from './seat/seat.ts';
import { signInEvents } from './sign-in/sign-in.ts';
import { taskBundleEvents } from './task-bundle/task-bundle.ts';
import { templateEvents } from './template/template.ts';
import { tenantEvents } from './tenant/tenant.ts';
import { userEvents } from './user/user.ts';
import { userGroupEvents } from './user-group/user-group.ts';

/** Every category's facts. */
export const catalogues: readonly EventCatalogue[] = [
  accessEvents,
  accountEvents,
  apiKeyEvents,
  compliancePolicyEvents,
  deploymentEvents,
  deviceEvents,
  directoryEvents,
  enrolmentEvents,
  exchangeEvents,
  groupEvents,
  licenceEvents,
  handoutEvents,
  identityProviderEvents,
  importEvents,
  mailSightingEvents,
  policyEvents,
  proxyEvents,
  reservationEvents,
  signInEvents,
  roleEvents,
  safeguardEvents,
  seatEvents,
  taskBundleEvents,
  templateEvents,
  tenantEvents,
  userEvents,
  userGroupEvents,
];

const byCategory: ReadonlyMap<string, EventCatalogue> = new Map(
  catalogues.map((catalogue) => [catalogue.category, catalogue]),
);

/** Every category, for the prefix filters of followers. */
export const categories: readonly string[] = [...byCategory.keys()];

/** Current schema version of an event type: 1 plus the number of its upcasts. */
export const schemaVersionOf = (category: string, type: string): number =>
  (byCategory.get(category)?.upcasts[type]?.length ?? 0) + 1;

/** The data of a stored event in its current shape; throws when the event is unknown, newer or malformed. */
export const readEventData = (
  category: string,
  type: string,
  schemaVersion: number,
  data: Record<string, unknown>,
): unknown => {
  const catalogue = byCategory.get(category);
  const schema = catalogue?.schemas[type];
  if (!catalogue || !schema) throw new TypeError(`unknown event ${category}/${type}`);
  const current = schemaVersionOf(category, type);
  if (!Number.isInteger(schemaVersion) || schemaVersion < 1 || schemaVersion > current) {
    throw new TypeError(`${type} has schema version ${schemaVersion}; this Muster reads 1 to ${current}`);
  }
  const upcasts = catalogue.upcasts[type] ?? [];
  return schema.parse(upcasts.slice(schemaVersion - 1).reduce((older, upcast) => upcast(older), data));
};
