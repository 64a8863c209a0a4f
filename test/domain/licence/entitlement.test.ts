/** What the licence permits, by time, tenant and edition. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { licenceDecider } from '../../../domain/licence/decide.ts';
import {
  allotmentOf,
  mayEnrol,
  mayManage,
  mayManageByPolicy,
  mayManageByTasks,
  mayQueueTasks,
  validityAt,
} from '../../../domain/licence/entitlement.ts';
import type { LicenceEvent } from '../../../domain/licence/licence.ts';
import { foldOn } from '../../support/given.ts';
import { idOf } from '../../support/ids.ts';

const id = '00000000-0000-4000-8000-000000000001';
const [acme, other] = [idOf('ten', 1), idOf('ten', 2)];
const expiresAt = '2026-03-31T00:00:00.000Z';
const [before, after] = ['2026-03-30T23:59:59.999Z', expiresAt];
const installed: LicenceEvent[] = [
  { type: 'InstallationIdentified', data: { installationId: id } },
  { type: 'TrialStarted', data: { edition: 'advanced', seats: 5, expiresAt } },
];
const usable: LicenceEvent[] = [
  ...installed,
  { type: 'TrialRegistered', data: { email: 'op@example.org' } },
  { type: 'SeatsAllotted', data: { tenantId: acme, seats: 5, edition: 'advanced', allotted: 5 } },
];
const fold = (events: readonly LicenceEvent[]) => foldOn(licenceDecider, licenceDecider.initial, events);
const lock = [{ type: 'lock' as const }];

test('it warns from 30 days before the end, to the millisecond', () => {
  const at = (now: string) => validityAt({ expiresAt }, now);
  assert.deepEqual(at('2026-02-28T23:59:59.999Z'), { state: 'valid', daysLeft: 30 });
  assert.deepEqual(at('2026-03-01T00:00:00.000Z'), { state: 'expiring', daysLeft: 30 });
  assert.deepEqual(at(before), { state: 'expiring', daysLeft: 0 });
  assert.deepEqual(at(after), { state: 'expired', daysLeft: 0 });
});

test('enrolment needs a registered trial, time left and seats; another tenant’s do not count', () => {
  assert.equal(mayEnrol(fold([]), acme, before)?.refused, 'licence-missing');
  assert.equal(mayEnrol(fold(installed), acme, before)?.refused, 'trial-unregistered');
  assert.equal(mayEnrol(fold(usable), acme, before), undefined);
  assert.equal(mayEnrol(fold(usable), other, before)?.refused, 'seats-exhausted');
  assert.equal(mayEnrol(fold(usable), acme, after)?.refused, 'licence-expired');
});

test('expiry stops new tasks, but never what lets a device go', () => {
  assert.equal(mayQueueTasks(fold(usable), acme, lock, before), undefined);
  assert.equal(mayQueueTasks(fold(usable), acme, lock, after)?.refused, 'licence-expired');
  assert.equal(mayQueueTasks(fold(usable), acme, [{ type: 'wipe' }], after), undefined);
  assert.equal(
    mayQueueTasks(fold(usable), acme, [...lock, { type: 'wipe' }], after)?.refused,
    'licence-expired',
  );
});

test('the edition of a tenant is never above that of the licence', () => {
  assert.equal(allotmentOf(fold(usable), acme).edition, 'advanced');
  assert.equal(allotmentOf(fold(usable), other).edition, 'standard');
  const standard: LicenceEvent = {
    type: 'LicenceActivated',
    data: {
      keyId: id,
      issuer: 'i'.repeat(43),
      installationId: id,
      licensee: 'A',
      edition: 'standard',
      seats: 5,
      issuedAt: before,
      expiresAt: '2027-01-01T00:00:00.000Z',
    },
  };
  assert.deepEqual(allotmentOf(fold([...usable, standard]), acme), { seats: 5, edition: 'standard' });
});

test('without Advanced nothing manages a container app', () => {
  const apps = ['com.example.container'];
  const task = (appId: string) => [{ type: 'install-app' as const, parameters: { appId, name: 'A' } }];
  const byTasks = (edition: 'standard' | 'advanced', appId: string) =>
    mayManageByTasks(edition, apps, task(appId), 'tasks')?.refused;
  assert.equal(byTasks('standard', 'com.example.container'), 'edition-required');
  assert.equal(byTasks('standard', 'com.example.other'), undefined);
  assert.equal(byTasks('advanced', 'com.example.container'), undefined);
  const rules = { ios: [{ parameters: { appIds: ['x', 'com.example.container'] } }] };
  assert.equal(mayManage('standard', apps, rules, 'settings')?.refused, 'edition-required');
  assert.equal(mayManage('standard', [], rules, 'settings'), undefined);
  const policy = { policyType: 'container' as const, settings: { passcode: { required: true } } };
  assert.equal(mayManageByPolicy('standard', [], policy, 'p')?.refused, 'edition-required');
  assert.equal(mayManageByPolicy('standard', apps, { ...policy, policyType: 'device' }, 'p'), undefined);
  assert.equal(mayManageByPolicy('advanced', apps, policy, 'p'), undefined);
});
