/** Specifications of the licence decider. */
import { test } from 'node:test';
import { licenceDecider } from '../../../domain/licence/decide.ts';
import type { LicenceClaims, LicenceEvent } from '../../../domain/licence/licence.ts';
import { casesOf } from '../../support/given.ts';
import { idOf } from '../../support/ids.ts';

const now = '2026-03-01T00:00:00.000Z';
const installationId = '00000000-0000-4000-8000-000000000001';
const otherId = '00000000-0000-4000-8000-000000000002';
const [acme, other] = [idOf('ten', 1), idOf('ten', 2)];

const installed: LicenceEvent[] = [
  { type: 'InstallationIdentified', data: { installationId } },
  { type: 'TrialStarted', data: { edition: 'advanced', seats: 5, expiresAt: '2026-03-31T00:00:00.000Z' } },
];
const registered: LicenceEvent = { type: 'TrialRegistered', data: { email: 'op@example.org' } };
const trial = [...installed, registered];
const claims: LicenceClaims = {
  keyId: otherId,
  issuer: 'i'.repeat(43),
  installationId,
  licensee: 'Acme',
  edition: 'standard',
  seats: 10,
  issuedAt: '2026-02-01T00:00:00.000Z',
  expiresAt: '2027-02-01T00:00:00.000Z',
};
const activated: LicenceEvent = { type: 'LicenceActivated', data: claims };
const allotted = (
  tenantId: typeof acme,
  seats: number,
  sum: number,
  edition: 'standard' | 'advanced' = 'standard',
): LicenceEvent => ({ type: 'SeatsAllotted', data: { tenantId, seats, edition, allotted: sum } });
const allot = (tenantId: typeof acme, seats: number, edition: 'standard' | 'advanced' = 'standard') =>
  ({ type: 'AllotSeats', tenantId, seats, edition }) as const;
const activate = (over: Partial<LicenceClaims> = {}) =>
  ({ type: 'ActivateLicence', now, claims: { ...claims, ...over } }) as const;

const cases = casesOf(licenceDecider, {
  InstallLicence: {
    accepts: [{ given: [], when: { type: 'InstallLicence', now, installationId }, events: installed }],
    refuses: 'an installation has its id already, and keeps it',
  },
  RegisterTrial: {
    accepts: [
      { given: installed, when: { type: 'RegisterTrial', email: 'op@example.org' }, events: [registered] },
    ],
    refuses: [
      { given: [], when: { type: 'RegisterTrial', email: 'op@example.org' }, refused: 'licence-missing' },
    ],
  },
  ActivateLicence: {
    accepts: [
      { given: installed, when: activate(), events: [activated] },
      {
        given: [...installed, activated, allotted(acme, 4, 4)],
        when: activate({ keyId: installationId, seats: 4 }),
        events: [{ type: 'LicenceActivated', data: { ...claims, keyId: installationId, seats: 4 } }],
      },
    ],
    refuses: [
      { given: [], when: activate(), refused: 'licence-missing' },
      {
        given: installed,
        when: activate({ installationId: otherId }),
        refused: 'licence-key-foreign',
        field: 'key',
      },
      { given: installed, when: activate({ expiresAt: now }), refused: 'licence-key-expired', field: 'key' },
      {
        given: [...installed, activated],
        when: activate({ keyId: installationId, issuedAt: '2026-01-31T23:59:59.000Z' }),
        refused: 'licence-key-superseded',
        field: 'key',
      },
      {
        given: [...trial, allotted(acme, 5, 5)],
        when: activate({ seats: 4 }),
        refused: 'seats-exceed-licence',
        field: 'key',
      },
    ],
  },
  AllotSeats: {
    accepts: [
      { given: trial, when: allot(acme, 5, 'advanced'), events: [allotted(acme, 5, 5, 'advanced')] },
      {
        given: [...trial, allotted(acme, 3, 3)],
        when: allot(other, 2),
        events: [allotted(other, 2, 5)],
      },
      {
        given: [...trial, allotted(acme, 3, 3), allotted(other, 2, 5)],
        when: allot(acme, 1),
        events: [allotted(acme, 1, 3)],
      },
    ],
    refuses: [
      { given: [], when: allot(acme, 1), refused: 'licence-missing' },
      { given: installed, when: allot(acme, 1), refused: 'trial-unregistered' },
      { given: trial, when: allot(acme, 6), refused: 'seats-exceed-licence', field: 'seats' },
      {
        given: [...trial, allotted(acme, 3, 3)],
        when: allot(other, 3),
        refused: 'seats-exceed-licence',
        field: 'seats',
      },
      {
        given: [...installed, activated],
        when: allot(acme, 1, 'advanced'),
        refused: 'edition-required',
        field: 'edition',
      },
    ],
  },
});

for (const [name, run] of cases) test(name, run);
