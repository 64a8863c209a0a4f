/**
 * A licence for tests that are about something else, and keys for those that are about licences.
 * Called by the stages of test/api, test/workers and by tests of licences.
 */
import assert from 'node:assert/strict';
import type { TenantId } from '../../domain/ids.ts';
import { type LicenceCommand, licenceDecider } from '../../domain/licence/decide.ts';
import type { Edition, LicenceClaims } from '../../domain/licence/licence.ts';
import { isRefusal } from '../../domain/refusals.ts';
import type { Deps } from '../../platform/deps.ts';
import { theLicence } from '../../platform/licence.ts';
import { newUuid } from '../../platform/new-id.ts';

/** Sends the licence a command; it must be accepted. */
export const sayToLicence = async (
  { handler }: Pick<Deps, 'handler'>,
  command: LicenceCommand | ((now: string) => LicenceCommand),
) => {
  const cause = { actor: { kind: 'system', id: 'test' }, commandId: newUuid() } as const;
  const handled = await handler.handle(licenceDecider, theLicence, command, cause);
  if (isRefusal(handled)) assert.fail(JSON.stringify(handled));
  return handled;
};

/** What a key says; `over` says what else. */
export const claimsFor = (installationId: string, over: Partial<LicenceClaims> = {}): LicenceClaims => ({
  keyId: newUuid(),
  issuer: 'i'.repeat(43),
  installationId,
  licensee: 'Test',
  edition: 'advanced',
  seats: 1_000_000,
  issuedAt: '2026-01-01T00:00:00.000Z',
  expiresAt: '2099-01-01T00:00:00.000Z',
  ...over,
});

/** Puts a licence into force that permits everything, unless `over` says otherwise. */
export const license = async (
  deps: Pick<Deps, 'handler'>,
  over: Partial<LicenceClaims> = {},
): Promise<void> => {
  await sayToLicence(deps, (now) => ({ type: 'InstallLicence', now, installationId: newUuid() }));
  const { state } = await deps.handler.load(licenceDecider, theLicence);
  assert.ok(state.status !== 'none');
  const claims = claimsFor(state.installationId, over);
  await sayToLicence(deps, (now) => ({ type: 'ActivateLicence', now, claims }));
};

/** Gives a tenant seats, by default more than a test uses. */
export const allot = async (
  deps: Pick<Deps, 'handler'>,
  tenantId: TenantId,
  seats = 1000,
  edition: Edition = 'advanced',
): Promise<void> => {
  await sayToLicence(deps, { type: 'AllotSeats', tenantId, seats, edition });
};
