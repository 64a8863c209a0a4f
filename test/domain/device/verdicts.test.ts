/** When a device's verdict is recorded, and when it falls due: check-ins, reviews, leaving, enrolling again. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DeviceCommand } from '../../../domain/device/commands.ts';
import { deviceDecider } from '../../../domain/device/decide.ts';
import { type DeviceEvent, type DeviceState, reviewDueAt } from '../../../domain/device/device.ts';
import { decideOn, foldOn } from '../../support/given.ts';
import { idOf } from '../../support/ids.ts';
import { checkIn, compliancePolicy, enrol, later, now } from './facts.ts';

const minuteMs = 60_000;
const compliance = compliancePolicy();

const after = (state: DeviceState, command: DeviceCommand & { now: string }) => {
  const events = decideOn(deviceDecider, state, command) as DeviceEvent[];
  assert.ok(Array.isArray(events), JSON.stringify(events));
  return {
    types: events.map((event) => event.type),
    state: foldOn(deviceDecider, state, events, command.now),
  };
};
const start = () => after(deviceDecider.initial, enrol({ compliance })).state;

test('check-ins that change nothing move the due time without a verdict', () => {
  const first = after(start(), checkIn({ compliance, now: later(10 * minuteMs) }));
  assert.deepEqual(first.types, ['DeviceCheckedIn']);
  assert.equal(reviewDueAt(first.state), later(70 * minuteMs));
});

test('a silent device is reviewed when due, once, and is compliant again after a check-in', () => {
  const early = after(start(), { type: 'ReviewDevice', now: later(60 * minuteMs - 1), compliance });
  assert.deepEqual(early.types, []);
  const due = after(early.state, { type: 'ReviewDevice', now: later(60 * minuteMs), compliance });
  assert.deepEqual(due.types, ['ComplianceVerdictReached']);
  assert.equal(due.state.verdict?.violations[0]?.since, later(60 * minuteMs));
  assert.equal(reviewDueAt(due.state), null);
  const again = after(due.state, { type: 'ReviewDevice', now: later(90 * minuteMs), compliance });
  assert.deepEqual(again.types, []);
  const back = after(again.state, checkIn({ compliance, now: later(95 * minuteMs) }));
  assert.deepEqual(back.types, ['DeviceCheckedIn', 'ComplianceVerdictReached']);
  assert.equal(back.state.verdict?.status, 'compliant');
  assert.equal(reviewDueAt(back.state), later(155 * minuteMs));
});

test('a new version of the policy is a new verdict; the same one is not', () => {
  const revised = compliancePolicy({ version: 2 });
  const first = after(start(), { type: 'ReviewDevice', now, compliance: revised });
  assert.deepEqual(first.types, ['ComplianceVerdictReached']);
  assert.deepEqual(after(first.state, { type: 'ReviewDevice', now, compliance: revised }).types, []);
});

test('a device that has left is never due; enrolled again it is, though its verdict is the same', () => {
  const left = after(start(), { type: 'UnenrolDevice', now, compliance });
  assert.equal(left.state.verdict?.status, 'compliant');
  assert.deepEqual([left.state.dueAt, reviewDueAt(left.state)], [null, null]);
  const back = after(
    left.state,
    enrol({ compliance, enrolmentId: idOf('enr', 2), requestId: 'r2', now: later(minuteMs) }),
  );
  assert.equal(reviewDueAt(back.state), later(61 * minuteMs));
});

test('the verdict of a check-in already sees what the check-in reported, with the time of the check-in', () => {
  const encryption = { rule: 'encryption' as const, parameters: {}, actions: [] };
  const strict = compliancePolicy({ version: 2, more: [encryption] });
  const before = after(start(), { type: 'ReviewDevice', now, compliance: strict });
  assert.equal(before.state.verdict?.status, 'non-compliant');
  const at = later(500 * minuteMs);
  const checkedIn = after(
    before.state,
    checkIn({ compliance: strict, now: at, inventory: { encrypted: true } }),
  );
  assert.equal(checkedIn.state.verdict?.status, 'compliant');
  assert.equal(checkedIn.state.lastCheckInAt, at);
});

test('apps count as reported from the first report on, even an empty one, which is recorded once', () => {
  const forbidden = { rule: 'forbidden-apps' as const, parameters: { appIds: ['a'] }, actions: [] };
  const strict = compliancePolicy({ more: [forbidden] });
  const silent = after(deviceDecider.initial, enrol({ compliance: strict })).state;
  assert.equal(silent.verdict?.violations[0]?.why, 'The installed apps were not reported.');
  const none = { complete: true, installed: [] };
  const first = after(silent, checkIn({ compliance: strict, apps: none }));
  assert.deepEqual(first.types, ['DeviceCheckedIn', 'DeviceAppsChanged', 'ComplianceVerdictReached']);
  assert.equal(first.state.verdict?.status, 'compliant');
  const second = after(first.state, checkIn({ compliance: strict, apps: none, checkInId: 'c2' }));
  assert.deepEqual(second.types, ['DeviceCheckedIn']);
});
