/** The life of a task on a device: sent, repeated, retried, finished, expired; transfers in order. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deviceDecider } from '../../../domain/device/decide.ts';
import type { DeviceEvent, DeviceState } from '../../../domain/device/device.ts';
import { reviewDueAt } from '../../../domain/device/device.ts';
import { composeTasks } from '../../../domain/task-bundle/compose.ts';
import { decideOn, foldOn } from '../../support/given.ts';
import { idOf } from '../../support/ids.ts';
import { checkIn, enrolled, later, now, queued, registered, sent, unchecked } from './facts.ts';

const minuteMs = 60_000;
const on = (...events: DeviceEvent[]): DeviceState =>
  foldOn(deviceDecider, deviceDecider.initial, [registered, enrolled, unchecked, ...events]);

/** Sends a check-in, expects it to be accepted; answers its events without the check-in itself, and the state. */
const step = (state: DeviceState, over: Parameters<typeof checkIn>[0]) => {
  const command = checkIn(over);
  const decided = decideOn(deviceDecider, state, command);
  assert.ok(Array.isArray(decided), JSON.stringify(decided));
  const [first, ...events] = decided as DeviceEvent[];
  assert.equal(first?.type, 'DeviceCheckedIn');
  return { events, state: foldOn(deviceDecider, state, decided as DeviceEvent[], command.now) };
};
const result = (number: number, status: 'completed' | 'failed', retry?: boolean) => ({
  taskResults: [{ taskId: idOf('tsk', number), status, retry, message: 'm' }],
});

test('the tasks of a transfer go out one after another, those of other transfers beside them', () => {
  const state = on(queued(1), queued(2), queued(3, undefined, undefined, 2));
  const first = step(state, { checkInId: 'a' });
  assert.deepEqual(first.events, [sent(1, 1), sent(3, 1)]);
  const second = step(first.state, { checkInId: 'b', ...result(1, 'completed') });
  assert.deepEqual(second.events, [
    { type: 'TaskCompleted', data: { taskId: idOf('tsk', 1), message: 'm' } },
    sent(2, 1),
  ]);
  assert.deepEqual(
    composeTasks(second.state.openTasks, now).map((task) => [task.taskId, task.attempts]),
    [
      [idOf('tsk', 2), 1],
      [idOf('tsk', 3), 1],
    ],
  );
});

test('a task without a result is sent again, not as a new attempt', () => {
  const first = step(on(queued(1)), { checkInId: 'a' });
  const second = step(first.state, { checkInId: 'b', now: later(minuteMs) });
  assert.deepEqual(second.events, []);
  assert.equal(composeTasks(second.state.openTasks, later(minuteMs)).length, 1);
});

test('a failure with retry waits three minutes and is tried five times in all, then cancels its transfer', () => {
  let state = step(on(queued(1), queued(2)), { checkInId: 'a0' }).state;
  let at = now;
  for (const attempt of [1, 2, 3, 4]) {
    const failed = step(state, { checkInId: `f${attempt}`, now: at, ...result(1, 'failed', true) });
    assert.deepEqual(failed.events, [
      {
        type: 'TaskRetryScheduled',
        data: { taskId: idOf('tsk', 1), message: 'm', notBefore: later(3 * minuteMs, at) },
      },
    ]);
    const early = step(failed.state, { checkInId: `e${attempt}`, now: later(3 * minuteMs - 1, at) });
    assert.deepEqual(early.events, []);
    at = later(3 * minuteMs, at);
    const again = step(early.state, { checkInId: `a${attempt}`, now: at });
    assert.deepEqual(again.events, [sent(1, attempt + 1)]);
    state = again.state;
  }
  const last = step(state, { checkInId: 'last', now: at, ...result(1, 'failed', true) });
  assert.deepEqual(last.events, [
    { type: 'TaskFailed', data: { taskId: idOf('tsk', 1), message: 'm' } },
    {
      type: 'TaskCancelled',
      data: { taskId: idOf('tsk', 2), reason: 'an earlier task of the transfer failed' },
    },
  ]);
  assert.deepEqual(last.state.openTasks, []);
});

test('a failure without retry is final', () => {
  const { state } = step(on(queued(1)), { checkInId: 'a' });
  const failed = step(state, { checkInId: 'b', ...result(1, 'failed') });
  assert.deepEqual(failed.events, [{ type: 'TaskFailed', data: { taskId: idOf('tsk', 1), message: 'm' } }]);
});

test('a result for a task that is unknown, finished or was never sent changes nothing', () => {
  assert.deepEqual(step(on(queued(1)), { checkInId: 'a', ...result(1, 'completed') }).events, [sent(1, 1)]);
  assert.deepEqual(step(on(), { checkInId: 'a', ...result(9, 'completed') }).events, []);
  const done = step(on(queued(1), sent(1, 1)), { checkInId: 'a', ...result(1, 'completed') });
  assert.deepEqual(step(done.state, { checkInId: 'b', ...result(1, 'failed') }).events, []);
});

for (const [type, reason] of [
  ['wipe', 'wipe-task'],
  ['unenrol', 'unenrol-task'],
] as const) {
  test(`a device that completed ${type} has left: the rest is cancelled, later results are ignored`, () => {
    const state = on(
      queued(1, { type, parameters: {} }),
      sent(1, 1),
      queued(2, undefined, undefined, 2),
      sent(2, 1),
    );
    const left = step(state, {
      checkInId: 'a',
      taskResults: [
        { taskId: idOf('tsk', 1), status: 'completed' },
        { taskId: idOf('tsk', 2), status: 'completed' },
      ],
    });
    assert.deepEqual(
      left.events.map((event) => event.type),
      ['TaskCompleted', 'DeviceUnenrolled', 'TaskCancelled'],
    );
    assert.deepEqual(left.events[1], { type: 'DeviceUnenrolled', data: { reason } });
    assert.equal(left.state.status, 'unenrolled');
    assert.deepEqual([left.state.openTasks, left.state.policies, left.state.push], [[], {}, null]);
    assert.equal(reviewDueAt(left.state), null);
    assert.equal(left.state.tokenHash, enrolled.data.tokenHash);
    assert.deepEqual(decideOn(deviceDecider, left.state, checkIn({ checkInId: 'a' })), {
      refused: 'device-retired',
    });
  });
}

test('an expired task cancels the rest of its transfer; one that expires a millisecond later goes out', () => {
  const state = on(queued(1, undefined, now), queued(2), queued(3, undefined, later(1), 2));
  assert.equal(reviewDueAt(state), now);
  assert.deepEqual(step(state, { checkInId: 'a' }).events, [
    { type: 'TaskExpired', data: { taskId: idOf('tsk', 1) } },
    {
      type: 'TaskCancelled',
      data: { taskId: idOf('tsk', 2), reason: 'an earlier task of the transfer failed' },
    },
    sent(3, 1),
  ]);
});

test('one reply carries twenty tasks at most, in queue order', () => {
  const many = Array.from({ length: 25 }, (_, index) => queued(index + 1, undefined, undefined, index + 1));
  const { events } = step(on(...many), { checkInId: 'a' });
  assert.deepEqual(
    events,
    Array.from({ length: 20 }, (_, index) => sent(index + 1, 1)),
  );
});

test('a repeated check-in changes nothing, even much later, and an old one is forgotten in the end', () => {
  const first = step(on(), { checkInId: 'a' });
  assert.deepEqual(decideOn(deviceDecider, first.state, checkIn({ checkInId: 'a', now: later(1) })), []);
  let state = first.state;
  for (let number = 0; number < 32; number += 1) state = step(state, { checkInId: `n${number}` }).state;
  assert.equal(state.recentCheckIns.length, 32);
  assert.equal(step(state, { checkInId: 'a' }).events.length, 0);
});
