/** What is planned for a mailbox: lists are added to and taken from, doubtful partnerships are left to people. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  changesNothing,
  type MailboxAccess,
  planMailbox,
  type WantedDevice,
} from '../../../domain/exchange/plan.ts';
import { idOf } from '../../support/ids.ts';

const rules = { containerApps: null, bindUnknown: true, ewsFollowsMail: false };
const nowhere = () => false;
const mailbox = (changes: Partial<MailboxAccess> = {}): MailboxAccess => ({
  allowed: [],
  blocked: [],
  ewsEnabled: true,
  partnerships: [],
  ...changes,
});
const partnership = (
  partnershipId: string,
  deviceType = 'iPhone',
  userAgent = 'Apple-iPhone14C2/2001.90',
) => ({
  partnershipId,
  deviceType,
  userAgent,
  deviceOs: '',
  accessState: 'Quarantined',
});
const device = (changes: Partial<WantedDevice> = {}): WantedDevice => ({
  deviceId: idOf('dev', 1),
  partnershipId: 'APPL1',
  platform: 'ios',
  enrolled: true,
  access: 'allow',
  reason: 'No violation denies mail.',
  ...changes,
});

test('a device is let in by adding its id and taking it from the blocked, as it is spelled there', () => {
  const plan = planMailbox([device()], mailbox({ blocked: ['appl1', 'OTHER'] }), rules, nowhere);
  assert.deepEqual(plan.lists, {
    allow: { add: ['APPL1'], remove: [] },
    block: { add: [], remove: ['appl1'] },
  });
});

test('a denied device is blocked, entries of administrators stay, and a repetition changes nothing', () => {
  const has = mailbox({ allowed: ['APPL1', 'PRIVATE'] });
  const plan = planMailbox([device({ access: 'deny' })], has, rules, nowhere);
  assert.deepEqual(plan.lists, {
    allow: { add: [], remove: ['APPL1'] },
    block: { add: ['APPL1'], remove: [] },
  });
  const after = mailbox({ allowed: ['PRIVATE'], blocked: ['APPL1'] });
  assert.ok(changesNothing(planMailbox([device({ access: 'deny' })], after, rules, nowhere)));
});

test("a device that became another person's is taken from the list", () => {
  const plan = planMailbox([], mailbox({ allowed: ['APPL1', 'PRIVATE'] }), rules, (id) => id === 'APPL1');
  assert.deepEqual(plan.lists.allow.remove, ['APPL1']);
});

test('an unknown partnership is bound only without doubt and with leave', () => {
  const nameless = device({ partnershipId: null });
  const has = mailbox({
    partnerships: [partnership('NEW1'), partnership('SEC1', 'SamsungDevice', 'Android')],
  });
  const plan = planMailbox([nameless], has, rules, nowhere);
  assert.deepEqual(plan.bound, [{ deviceId: nameless.deviceId, partnershipId: 'NEW1' }]);
  assert.deepEqual(plan.lists.allow.add, ['NEW1']);
  assert.deepEqual(
    plan.strangers.map(({ partnershipId }) => partnershipId),
    ['SEC1'],
  );
  const two = mailbox({ partnerships: [partnership('NEW1'), partnership('NEW2')] });
  const twins = [nameless, device({ deviceId: idOf('dev', 2), partnershipId: null })];
  for (const [wanted, there, leave] of [
    [[nameless], two, true],
    [twins, has, true],
    [[nameless], has, false],
    [[device({ partnershipId: null, enrolled: false })], has, true],
  ] as const)
    assert.deepEqual(planMailbox(wanted, there, { ...rules, bindUnknown: leave }, nowhere).bound, []);
});

test('only the container app is let in when the connection is restricted to it', () => {
  const containerApps = [{ characteristic: 'UserAgent' as const, query: 'SecureMail/1' }];
  const restricted = { ...rules, containerApps };
  const native = mailbox({ partnerships: [partnership('APPL1')], allowed: ['APPL1'] });
  const [blocked] = planMailbox([device()], native, restricted, nowhere).devices;
  assert.equal(blocked?.access, 'block');
  const contained = mailbox({ partnerships: [partnership('APPL1', 'iPhone', 'SecureMail/1')] });
  assert.equal(planMailbox([device()], contained, restricted, nowhere).devices[0]?.access, 'allow');
});

test('EWS follows mail only where that is chosen', () => {
  const closing = { ...rules, ewsFollowsMail: true };
  assert.equal(planMailbox([device({ access: 'deny' })], mailbox(), closing, nowhere).ews, false);
  assert.equal(planMailbox([device({ access: 'deny' })], mailbox(), rules, nowhere).ews, null);
});
