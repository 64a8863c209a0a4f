/** What each event leads to, and what errors mean to the queue: pure. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { UnrecoverableError } from 'bullmq';
import { taskId, transferId } from '../../domain/ids.ts';
import { refuse } from '../../domain/refusals.ts';
import { derivedId } from '../../platform/derived-id.ts';
import { faults, MusterError } from '../../platform/errors.ts';
import type { StoredEvent } from '../../platform/event-store.ts';
import { jobError, pauseBefore, refusedJob } from '../../workers/errors.ts';
import { eachOf, openTurns } from '../../workers/in-turn.ts';
import { react } from '../../workers/react.ts';
import { idOf } from '../support/ids.ts';

const tenantId = idOf('ten', 1);
const origin = { tenantId, eventId: 'event-1', position: '42', correlationId: 'request-1' };
const eventOf = (category: string, entityId: string, type: string, data: unknown = {}): StoredEvent => ({
  id: 'event-1',
  type,
  data,
  at: '2026-01-01T00:00:00.000Z',
  stream: `${category}-${tenantId}_${entityId}`,
  category,
  tenantId,
  entityId,
  revision: 7n,
  position: 42n,
  metadata: {
    tenantId,
    actor: { kind: 'system', id: 'test' },
    $causationId: 'command-1',
    $correlationId: 'request-1',
    schemaVersion: 1,
    at: '2026-01-01T00:00:00.000Z',
  },
});

test('what a device receives wakes it', () => {
  for (const type of ['TaskQueued', 'DevicePolicyAssigned']) {
    assert.deepEqual(react(eventOf('device', idOf('dev', 1), type)), [
      { queue: 'wake-device', jobId: 'event-1', data: { origin, deviceId: idOf('dev', 1), revision: 7 } },
    ]);
  }
});

test('a device seen at the mail gate may be bound, and Exchange hears of the id', () => {
  const id = `sgt${'0'.repeat(26)}`;
  assert.deepEqual(react(eventOf('mail-sighting', id, 'MailDeviceSighted')), [
    { queue: 'bind-mail-device', jobId: 'event-1', data: { origin, sightingId: id } },
  ]);
  assert.deepEqual(react(eventOf('device', idOf('dev', 1), 'DeviceEasIdBound')), [
    { queue: 'switch-mail-access', jobId: 'event-1', data: { origin, deviceId: idOf('dev', 1) } },
  ]);
});

test('policies, transfers and compliance policies lead to their jobs', () => {
  assert.deepEqual(react(eventOf('policy', idOf('pol', 1), 'PolicyRevised')), [
    { queue: 'wake-policy-devices', jobId: 'event-1', data: { origin, policyId: idOf('pol', 1) } },
  ]);
  assert.deepEqual(react(eventOf('task-bundle', idOf('bdl', 1), 'TaskBundleTransferred')), [
    {
      queue: 'transfer-task-bundle',
      jobId: 'event-1',
      data: { origin, taskBundleId: idOf('bdl', 1), revision: 7 },
    },
  ]);
  const scopes = [
    react(eventOf('tenant', tenantId, 'TenantCompliancePolicyAssigned')),
    react(eventOf('group', idOf('grp', 1), 'GroupCompliancePolicyAssigned')),
    react(eventOf('compliance-policy', idOf('cmp', 1), 'CompliancePolicyRevised')),
  ];
  assert.deepEqual(
    scopes.flat().map(({ queue, data }) => [queue, (data as { scope?: unknown }).scope]),
    [
      ['review-fleet', { kind: 'tenant' }],
      ['review-fleet', { kind: 'group', groupId: idOf('grp', 1) }],
      ['review-fleet', { kind: 'compliance-policy', compliancePolicyId: idOf('cmp', 1) }],
    ],
  );
});

test('other events lead to nothing', () => {
  for (const type of ['DeviceCheckedIn', 'DeviceWoken', 'TaskCompleted', 'Unheard'])
    assert.deepEqual(react(eventOf('device', idOf('dev', 1), type)), []);
  assert.deepEqual(react(eventOf('policy', idOf('pol', 1), 'PolicyCreated')), []);
});

test('an episode of a violation makes one transfer, whichever verdict tells of it', () => {
  const violation = (since: string) => ({
    rule: 'encryption',
    severity: 'high',
    why: 'The storage is not encrypted.',
    since,
    actions: [{ action: 'deny-mail' }, { action: 'transfer-task-bundle', taskBundleId: idOf('bdl', 1) }],
  });
  const transferOf = (device: number, since: string) => {
    const verdict = { status: 'non-compliant', violations: [violation(since)] };
    const event = eventOf('device', idOf('dev', device), 'ComplianceVerdictReached', {
      verdict,
      dueAt: null,
    });
    const [job, ...more] = react(event);
    assert.deepEqual(
      more.map(({ queue, jobId }) => [queue, jobId]),
      [['switch-mail-access', event.id]],
    );
    assert.ok(job?.queue === 'act-on-verdict');
    assert.ok(transferId.safeParse(job.data.transferId).success);
    return job.data.transferId;
  };
  const first = transferOf(1, '2026-01-01T00:00:00.000Z');
  assert.equal(transferOf(1, '2026-01-01T00:00:00.000Z'), first);
  assert.notEqual(transferOf(2, '2026-01-01T00:00:00.000Z'), first);
  assert.notEqual(transferOf(1, '2026-01-02T00:00:00.000Z'), first);
});

test('derived ids are valid, repeatable, distinct, and sorted by their time', () => {
  const early = derivedId('tsk', '2026-01-01T00:00:00.000Z', 'a');
  assert.equal(derivedId('tsk', '2026-01-01T00:00:00.000Z', 'a'), early);
  assert.notEqual(derivedId('tsk', '2026-01-01T00:00:00.000Z', 'b'), early);
  assert.ok(derivedId('tsk', '2026-01-01T00:00:00.001Z', 'a') > early);
  assert.ok(taskId.safeParse(early).success);
});

test('every fault is repeated or dead as the catalogue says; anything unknown is repeated', () => {
  for (const [code, { retryable }] of Object.entries(faults)) {
    const mapped = jobError(new MusterError(code as keyof typeof faults, 'detail'));
    assert.equal(mapped instanceof UnrecoverableError, !retryable, code);
    if (!retryable) assert.equal(mapped.message, `${code}: detail`);
  }
  assert.ok(!(jobError(new Error('socket')) instanceof UnrecoverableError));
  assert.equal(jobError('text').message, 'text');
  assert.equal(refusedJob(refuse('bundle-retired')).message, 'bundle-retired: The task bundle is retired');
});

test('pauses grow to a limit, with full jitter, and never undercut the time that was named', () => {
  const outage = new Error('away');
  assert.deepEqual(
    [1, 2, 3, 10, 11, 50].map((attempts) => pauseBefore(attempts, outage, 1)),
    [1000, 2000, 4000, 512_000, 600_000, 600_000],
  );
  assert.equal(pauseBefore(5, outage, 0), 0);
  const busy = new MusterError('push-unavailable', 'busy', { retryAfterMs: 90_000 });
  assert.equal(pauseBefore(1, busy, 0), 90_000);
  assert.equal(pauseBefore(1, busy, 0.5), 90_500);
});

test('turns keep order by key and forget failures; lanes are bounded and stop at the first failure', async () => {
  const inTurn = openTurns();
  const order: string[] = [];
  const first = inTurn('a', async () => {
    await new Promise(setImmediate);
    order.push('first');
    throw new Error('first');
  });
  const second = inTurn('a', async () => order.push('second'));
  await inTurn('b', async () => order.push('other'));
  await assert.rejects(first, /first/);
  await second;
  assert.deepEqual(order, ['other', 'first', 'second']);

  let running = 0;
  let most = 0;
  await eachOf([1, 2, 3, 4, 5], 2, async () => {
    running += 1;
    most = Math.max(most, running);
    await new Promise(setImmediate);
    running -= 1;
  });
  assert.equal(most, 2);
  const done: number[] = [];
  const failing = eachOf([1, 2, 3, 4, 5], 1, async (item) => {
    if (item === 2) throw new Error('second');
    done.push(item);
  });
  await assert.rejects(failing, /second/);
  assert.deepEqual(done, [1]);
});
