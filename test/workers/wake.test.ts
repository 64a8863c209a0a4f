/** Waking devices: once for what belongs together, never lost, on each queue backend. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { policyDecider } from '../../domain/policy/decide.ts';
import { MusterError } from '../../platform/errors.ts';
import type { Handler } from '../../platform/handle.ts';
import { newId } from '../../platform/new-id.ts';
import { fcmFailure } from '../support/fcm.ts';
import { onEachBackend } from './backends.ts';
import { foundTenant, lock, refresh, type Stage, say, startStage } from './stage.ts';

onEachBackend('waking', (backend) => {
  let stage: Stage;
  before(async () => {
    stage = await startStage(backend);
  });
  after(() => stage.stop());

  /** Outcomes of the wake jobs of a device's events, in order. */
  const outcomes = async (
    tenant: Awaited<ReturnType<typeof foundTenant>>,
    deviceId: Parameters<typeof tenant.events>[0],
    type = 'TaskQueued',
  ) => {
    const jobs = (await tenant.events(deviceId, type)).map(({ id }) => stage.settled('wake-device', id));
    return (await Promise.all(jobs)).map(
      ({ returnvalue, failedReason }) => returnvalue?.outcome ?? failedReason,
    );
  };
  const pushesTo = (token: string) => stage.fcm.taken.filter((message) => message.token === token).length;

  test('the tasks of one transfer cost one push, which is recorded', async () => {
    const tenant = await foundTenant(stage.deps);
    const deviceId = await tenant.device();
    const queued = await tenant.queue(deviceId, lock, refresh, refresh);
    const reached = await outcomes(tenant, deviceId);
    assert.deepEqual(reached.sort(), ['woken', 'woken-already', 'woken-already']);
    assert.equal(pushesTo(`token-${deviceId}`), 1);
    const [woken, ...more] = await tenant.events(deviceId, 'DeviceWoken');
    assert.equal(more.length, 0);
    assert.deepEqual(woken?.metadata.actor, { kind: 'system', id: 'wake-device' });
    assert.equal(
      (woken?.data as { throughRevision: number } | undefined)?.throughRevision,
      Number(queued.revision),
    );
  });

  test('events delivered again push nothing again', async () => {
    const tenant = await foundTenant(stage.deps);
    const deviceId = await tenant.device();
    await tenant.queue(deviceId, lock);
    await tenant.queue(deviceId, lock);
    await outcomes(tenant, deviceId);
    const pushes = pushesTo(`token-${deviceId}`);
    await stage.stopWorkers();
    await stage.deps.sql`delete from workers.checkpoints`;
    await stage.startWorkers();
    const marker = await tenant.device();
    await tenant.queue(marker, lock);
    assert.deepEqual(await outcomes(tenant, marker), ['woken']);
    assert.equal(pushesTo(`token-${deviceId}`), pushes);
    assert.equal((await tenant.events(deviceId, 'DeviceWoken')).length, pushes);
  });

  test('a task queued while a push is on its way gets a push of its own', async () => {
    const tenant = await foundTenant(stage.deps);
    const deviceId = await tenant.device();
    const release = stage.fcm.hold();
    const { sends } = stage.fcm.counts;
    await tenant.queue(deviceId, lock);
    const [first] = await tenant.events(deviceId, 'TaskQueued');
    await stage.fcm.untilSends(sends + 1);
    await tenant.queue(deviceId, lock);
    release();
    await stage.settled('wake-device', first?.id as string);
    assert.deepEqual(await outcomes(tenant, deviceId), ['woken', 'woken']);
    assert.equal(pushesTo(`token-${deviceId}`), 2);
  });

  test('a device that has nothing waiting, no address, or has left is not pushed', async () => {
    const tenant = await foundTenant(stage.deps);
    const mute = await tenant.device({ pushToken: null });
    await tenant.queue(mute, lock);
    assert.deepEqual(await outcomes(tenant, mute), ['no-push-address']);

    const served = await tenant.device();
    await stage.stopWorkers();
    await tenant.queue(served, lock);
    await tenant.on(served, (now) => ({ type: 'CheckIn', now, compliance: null, checkInId: 'c-1' }));
    const gone = await tenant.device();
    await tenant.queue(gone, lock);
    await tenant.on(gone, (now) => ({ type: 'UnenrolDevice', now, compliance: null }));
    await stage.startWorkers();
    assert.deepEqual(await outcomes(tenant, served), ['nothing-waiting']);
    assert.deepEqual(await outcomes(tenant, gone), ['not-enrolled']);
    assert.equal(pushesTo(`token-${served}`) + pushesTo(`token-${gone}`), 0);
  });

  test('a dead token is recorded, and the address forgotten', async () => {
    const tenant = await foundTenant(stage.deps);
    const deviceId = await tenant.device({ pushToken: 'dead' });
    stage.fcm.setFate('dead', 'unregistered');
    await tenant.queue(deviceId, lock);
    assert.deepEqual(await outcomes(tenant, deviceId), ['push-token-dead']);
    const [died] = await tenant.events(deviceId, 'DevicePushTokenDied');
    assert.deepEqual(died?.data, {
      provider: 'fcm',
      token: 'dead',
      reason: 'FCM answers 404 UNREGISTERED',
    });
    assert.equal((await tenant.state(deviceId)).push, null);
  });

  test('an outage is tried again; a rejection is dead at once, and stays visible with its reason', async () => {
    const tenant = await foundTenant(stage.deps);
    const patient = await tenant.device();
    stage.fcm.failNext('send', {
      ...fcmFailure(503, 'UNAVAILABLE', 'UNAVAILABLE'),
      headers: { 'retry-after': '0' },
    });
    await tenant.queue(patient, lock);
    assert.deepEqual(await outcomes(tenant, patient), ['woken']);
    assert.equal(pushesTo(`token-${patient}`), 1);

    const refused = await tenant.device();
    stage.fcm.failNext('send', fcmFailure(403, 'PERMISSION_DENIED', ''));
    await tenant.queue(refused, lock);
    const [task] = await tenant.events(refused, 'TaskQueued');
    const job = await stage.settled('wake-device', task?.id as string);
    assert.equal(job.attemptsMade, 1);
    const dead = await stage.queue('wake-device').getFailed();
    assert.ok(
      dead.some(
        ({ id, failedReason }) =>
          id === task?.id && failedReason.startsWith('push-rejected: FCM answers 403'),
      ),
    );
  });

  test('a push that could not be recorded is recorded by the next attempt, not sent again', async () => {
    const tenant = await foundTenant(stage.deps);
    const deviceId = await tenant.device();
    let failures = 0;
    const handle: Handler['handle'] = async (decider, target, command, cause) => {
      if ((command as { type?: string }).type === 'RecordWake' && failures++ === 0)
        throw new MusterError('dependency-unavailable', 'the event store went away');
      return stage.deps.handler.handle(decider, target, command, cause);
    };
    await stage.stopWorkers();
    await stage.startWorkers({ ...stage.deps, handler: { ...stage.deps.handler, handle } });
    await tenant.queue(deviceId, lock);
    assert.deepEqual(await outcomes(tenant, deviceId), ['woken']);
    assert.equal(failures, 2);
    assert.equal(pushesTo(`token-${deviceId}`), 1);
    assert.equal((await tenant.events(deviceId, 'DeviceWoken')).length, 1);
    await stage.stopWorkers();
    await stage.startWorkers();
  });

  test('a policy that is assigned or revised wakes the devices that lack it, of that tenant alone', async () => {
    const [tenant, other] = [await foundTenant(stage.deps), await foundTenant(stage.deps)];
    const id = newId('pol');
    for (const { tenantId } of [tenant, other]) {
      await say(
        stage.deps,
        policyDecider,
        { tenantId, id },
        {
          type: 'CreatePolicy',
          name: 'Policy',
          policyType: 'device',
          platforms: ['android'],
          settings: { restrictions: { camera: false } },
        },
      );
    }
    const deviceIds = [await tenant.device(), await tenant.device(), await other.device()] as const;
    const [mine, without, theirs] = deviceIds;
    const policy = async (tenantId: typeof tenant.tenantId) =>
      (await stage.deps.handler.load(policyDecider, { tenantId, id })).state;
    const assign = async (whose: typeof tenant, deviceId: typeof mine) =>
      whose.on(deviceId, { type: 'AssignPolicy', policyId: id, policy: await policy(whose.tenantId) });
    await assign(tenant, mine);
    await assign(other, theirs);
    assert.deepEqual(await outcomes(tenant, mine, 'DevicePolicyAssigned'), ['woken']);
    assert.deepEqual(await outcomes(other, theirs, 'DevicePolicyAssigned'), ['woken']);
    const taken = stage.fcm.taken.length;
    await say(
      stage.deps,
      policyDecider,
      { tenantId: tenant.tenantId, id },
      {
        type: 'RevisePolicy',
        settings: { restrictions: { camera: true } },
      },
    );
    await stage.fcm.untilTaken(taken + 1);
    const marker = await tenant.device();
    await tenant.queue(marker, lock);
    await outcomes(tenant, marker);
    assert.deepEqual(
      [mine, without, theirs].map((deviceId) => pushesTo(`token-${deviceId}`)),
      [2, 0, 1],
    );
  });
});
