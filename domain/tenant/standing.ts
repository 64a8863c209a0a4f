/**
 * What a tenant may still begin, by its validity, its platforms and the time. Expiry never touches check-ins, mail
 * decisions or history. Called by the decisions on devices and enrolments, with the tenant as a value.
 */
import { type Refusal, refuse } from '../refusals.ts';
import type { Platform } from '../text.ts';
import type { ExistingTenant, SupportGrant, TenantState } from './tenant.ts';

/** The part of a tenant that such decisions look at. */
export type TenantStanding = Pick<ExistingTenant, 'validUntil' | 'platforms'>;

/** The standing of a tenant; undefined when it does not exist. */
export const standingOf = (state: TenantState): TenantStanding | undefined =>
  state.status === 'none' ? undefined : { validUntil: state.validUntil, platforms: state.platforms };

/** Whether the tenant has expired at `now` (ISO 8601, UTC). */
export const isExpired = ({ validUntil }: Pick<TenantStanding, 'validUntil'>, now: string): boolean =>
  validUntil !== null && now >= validUntil;

/** Why the tenant can begin nothing new for a device of that platform (null: any); undefined when it can. */
export const standingFault = (
  standing: TenantStanding | undefined,
  now: string,
  platform: Platform | null,
): Refusal | undefined => {
  if (standing === undefined) return undefined;
  if (isExpired(standing, now))
    return refuse('tenant-expired', { detail: `it was valid until ${standing.validUntil}` });
  if (platform !== null && !standing.platforms.includes(platform))
    return refuse('platform-disabled', {
      field: 'platform',
      detail: `the tenant has no devices of ${platform}`,
    });
  return undefined;
};

/** The support access that stands at `now` (ISO 8601, UTC); null when none does. */
export const standingSupport = (state: TenantState, now: string): SupportGrant | null =>
  state.status !== 'none' && state.status !== 'deleted' && state.support !== null && now < state.support.until
    ? state.support
    : null;
