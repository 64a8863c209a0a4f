/** Seats that jobs settle: of unenrolled devices, of enrolments that never happened, of devices enrolled without one. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { DeviceId, TenantId } from '../../domain/ids.ts';
import { licenceDecider } from '../../domain/licence/decide.ts';
import { type SeatCommand, seatDecider } from '../../domain/seat/decide.ts';
import { theLicence } from '../../platform/licence.ts';
import { newId, newUuid } from '../../platform/new-id.ts';
import { openProjectionWaiter, type ProjectionWaiter } from '../../projections/await.ts';
import { tellLicence } from '../../workers/review-licence.ts';
import { onEachBackend } from './backends.ts';
import { foundTenant, lock, type Stage, say, startStage, untilEvent } from './stage.ts';

const minutesMs = 60_000;
const dayMs = 24 * 60 * minutesMs;

onEachBackend('seats', (backend) => {
  let stage: Stage;
  let waiter: ProjectionWaiter;
  before(async () => {
    stage = await startStage(backend);
    waiter = await openProjectionWaiter(stage.deps);
  });
  after(async () => {
    await waiter.close();
    await stage.stop();
  });

  const onSeats = (tenantId: TenantId, command: SeatCommand | ((now: string) => SeatCommand)) =>
    say(stage.deps, seatDecider, { tenantId, id: tenantId }, command);
  const takenBy = async (tenantId: TenantId): Promise<number> =>
    (await stage.deps.handler.load(seatDecider, { tenantId, id: tenantId })).state.taken;

  /** Runs a review on read models that show everything; answers its result. */
  const review = async () => {
    assert.ok(await waiter.reached(await stage.deps.store.lastPosition(), 60_000));
    const jobId = newUuid();
    await stage.queue('review-seats').add('review-seats', {}, { jobId });
    return (await stage.settled('review-seats', jobId)).returnvalue;
  };

  test('a device that was enrolled without a seat is counted, in its own tenant', async () => {
    const [acme, other] = [await foundTenant(stage.deps), await foundTenant(stage.deps)];
    await acme.device();
    await acme.device();
    await other.device();
    assert.equal((await review()).changed, 0, 'too young');
    stage.move(11 * minutesMs);
    assert.equal((await review()).changed, 3);
    assert.deepEqual([await takenBy(acme.tenantId), await takenBy(other.tenantId)], [2, 1]);
    assert.equal((await review()).changed, 0);
  });

  test('a seat whose enrolment never happened is given back, one of an enrolled device never', async () => {
    const [acme, other] = [await foundTenant(stage.deps), await foundTenant(stage.deps)];
    const enrolled = await acme.device();
    const { enrolmentId } = await acme.state(enrolled);
    const take = (tenantId: TenantId, deviceId: DeviceId, by = newId('enr')) =>
      onSeats(tenantId, (now) => ({
        type: 'TakeSeat',
        now,
        deviceId,
        userEmail: null,
        enrolmentId: by,
        allotted: 10,
      }));
    assert.ok(enrolmentId);
    await take(acme.tenantId, enrolled, enrolmentId);
    await take(acme.tenantId, newId('dev'));
    await take(other.tenantId, newId('dev'));
    assert.equal((await review()).changed, 0, 'a request may be under way');
    stage.move(11 * minutesMs);
    assert.equal((await review()).changed, 2);
    assert.deepEqual([await takenBy(acme.tenantId), await takenBy(other.tenantId)], [1, 0]);
  });

  test('a device that is unenrolled gives its seat back', async () => {
    const acme = await foundTenant(stage.deps);
    const device = await acme.device();
    const { enrolmentId } = await acme.state(device);
    assert.ok(enrolmentId);
    await onSeats(acme.tenantId, (now) => ({
      type: 'TakeSeat',
      now,
      deviceId: device,
      userEmail: 'ada@example.org',
      enrolmentId,
      allotted: 1,
    }));
    await acme.on(device, (now) => ({ type: 'UnenrolDevice', now, compliance: null }));
    const { id } = await untilEvent(
      stage.deps,
      ({ entityId, type }) => entityId === device && type === 'DeviceUnenrolled',
    );
    assert.equal((await stage.settled('release-seat', id)).returnvalue.outcome, 'released');
    assert.equal(await takenBy(acme.tenantId), 0);
  });

  test('an expired licence queues nothing by itself, and says so', async () => {
    const acme = await foundTenant(stage.deps);
    const bundle = await acme.bundle([lock]);
    const { state } = await stage.deps.handler.load(licenceDecider, theLicence);
    assert.ok(state.status !== 'none' && state.grant);
    assert.equal(await tellLicence(stage.deps), 'valid');
    stage.move(Date.parse(state.grant.expiresAt) - stage.deps.clock() - 30 * dayMs);
    assert.equal(await tellLicence(stage.deps), 'expiring');
    stage.move(30 * dayMs);
    assert.equal(await tellLicence(stage.deps), 'expired');
    await acme.compliance({
      android: [
        {
          rule: 'minimum-os-version',
          parameters: { version: '99' },
          actions: [{ action: 'transfer-task-bundle', taskBundleId: bundle }],
        },
      ],
    });
    const device = await acme.device();
    const { id } = await untilEvent(
      stage.deps,
      ({ entityId, type }) => entityId === device && type === 'ComplianceVerdictReached',
    );
    const job = await stage.settled('act-on-verdict', `${id}.minimum-os-version.${bundle}`);
    assert.match(job.failedReason, /^licence-expired/);
    assert.deepEqual(await acme.events(device, 'TaskQueued'), []);
  });
});
