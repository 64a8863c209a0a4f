/** Transfers, reviews and compliance actions over a fleet of two tenants, on each queue backend. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { ComplianceSettings } from '../../domain/compliance/settings.ts';
import { compliancePolicyDecider } from '../../domain/compliance-policy/decide.ts';
import { deviceDecider } from '../../domain/device/decide.ts';
import { groupDecider } from '../../domain/group/decide.ts';
import type { DeviceId, GroupId, TaskBundleId, TenantId } from '../../domain/ids.ts';
import { mailSightingDecider } from '../../domain/mail-sighting/decide.ts';
import type { Sighting } from '../../domain/mail-sighting/mail-sighting.ts';
import { safeguardDecider } from '../../domain/safeguard/decide.ts';
import { taskBundleDecider } from '../../domain/task-bundle/decide.ts';
import type { TransferTarget } from '../../domain/task-bundle/task-bundle.ts';
import { tenantDecider } from '../../domain/tenant/decide.ts';
import { mailSightingIdOf } from '../../platform/bind-mail-device.ts';
import { streamName } from '../../platform/event-store.ts';
import { newId } from '../../platform/new-id.ts';
import { untilHeld } from '../support/jobs.ts';
import { onEachBackend } from './backends.ts';
import { foundTenant, lock, refresh, type Stage, say, startStage, untilEvent } from './stage.ts';

const hourMs = 3_600_000;
const minimumOs = (version: string): ComplianceSettings => ({
  android: [{ rule: 'minimum-os-version', parameters: { version }, actions: [] }],
});

/** A device seen at the mail gate, as a proxy reports it. */
const seen = (over: Partial<Sighting> = {}): Sighting => ({
  easDeviceId: 'SEC0123',
  user: 'ada@example.org',
  deviceType: 'SamsungDevice',
  userAgent: 'Android-SAMSUNG-SM-S921B/101.140',
  address: '192.0.2.1',
  at: '2026-11-25T12:00:00.000Z',
  ...over,
});

onEachBackend('fleet', (backend) => {
  let stage: Stage;
  before(async () => {
    stage = await startStage(backend, { reviewIntervalSeconds: '1' });
  });
  after(() => stage.stop());

  /** Transfers a bundle and answers its finished job. */
  const transfer = async (tenantId: TenantId, id: TaskBundleId, target: TransferTarget) => {
    const transferId = newId('trf');
    const { revision } = await say(
      stage.deps,
      taskBundleDecider,
      { tenantId, id },
      { type: 'TransferTaskBundle', transferId, target },
    );
    for await (const event of stage.deps.store.readStream(streamName('task-bundle', tenantId, id), revision))
      return { transferId, event, job: await stage.settled('transfer-task-bundle', event.id) };
    throw new Error('no transfer');
  };
  const taskTypes = async (tenant: Awaited<ReturnType<typeof foundTenant>>, id: DeviceId) =>
    (await tenant.state(id)).openTasks.map(({ type }) => type);

  test('a transfer reaches every device of the group that takes it, and no other tenant', async () => {
    const [tenant, other] = [await foundTenant(stage.deps), await foundTenant(stage.deps)];
    const [groupId, theirGroupId] = [await tenant.group(), await other.group()];
    const bundle = await tenant.bundle([lock, refresh]);
    const mine = [await tenant.device({ groupId }), await tenant.device({ groupId })];
    const outside = await tenant.device();
    const windows = await tenant.device({ groupId, platform: 'windows' });
    const theirs = await other.device({ groupId: theirGroupId });

    const { job, event, transferId } = await transfer(tenant.tenantId, bundle, { kind: 'group', groupId });
    assert.deepEqual(job.returnvalue, { queued: 3, repeated: 0, refused: 0, reasons: {} });
    assert.deepEqual(job.progress, { queued: 3, repeated: 0, refused: 0 });
    for (const id of [...mine, windows]) {
      const { openTasks } = await tenant.state(id);
      assert.deepEqual(
        openTasks.map(({ type }) => type),
        ['lock', 'refresh'],
      );
      assert.ok(openTasks.every((task) => task.transferId === transferId));
    }
    assert.deepEqual(await taskTypes(tenant, outside), []);
    const [queued] = await tenant.events(mine[0] as DeviceId, 'TaskQueued');
    assert.equal(queued?.metadata.$causationId, event.id);
    assert.equal(queued?.metadata.$correlationId, event.metadata.$correlationId);

    // Another tenant's group is an empty group, and another tenant's device no device.
    const foreign = await transfer(tenant.tenantId, bundle, { kind: 'group', groupId: theirGroupId });
    assert.deepEqual(foreign.job.returnvalue, { queued: 0, repeated: 0, refused: 0, reasons: {} });
    const missing = await transfer(tenant.tenantId, bundle, { kind: 'device', deviceId: theirs });
    assert.deepEqual(missing.job.returnvalue.reasons, { 'device-missing': 1 });
    assert.deepEqual(await taskTypes(other, theirs), []);
  });

  test('a device seen at the mail gate is bound at once only where the tenant wants it and one alone can be meant', async () => {
    const { deps } = stage;
    const [tenant, other] = [await foundTenant(deps), await foundTenant(deps)];
    const { tenantId } = tenant;
    /** Sights it and answers what the job made of that. */
    const sight = async (what: Sighting, of = tenantId) => {
      const id = mailSightingIdOf(of, what);
      const { revision } = await say(
        deps,
        mailSightingDecider,
        { tenantId: of, id },
        { type: 'SightMailDevice', ...what },
      );
      for await (const event of deps.store.readStream(streamName('mail-sighting', of, id), revision))
        return (await stage.settled('bind-mail-device', event.id)).returnvalue;
      throw new Error('no sighting');
    };
    const userEmail = 'ada@example.org';
    const mine = await tenant.device({ userEmail });
    const theirs = await other.device({ userEmail });
    assert.equal((await sight(seen())).outcome, 'not-wanted');
    await say(
      deps,
      tenantDecider,
      { tenantId, id: tenantId },
      { type: 'ChooseUnknownMailDevices', unknownMailDevices: 'bind' },
    );
    assert.equal(
      (
        await sight(
          seen({ easDeviceId: 'IPHONE1', userAgent: 'Apple-iPhone17C1/2301.355', deviceType: 'iPhone' }),
        )
      ).outcome,
      'other-platform',
    );
    assert.equal(
      (
        await sight(
          seen({ easDeviceId: 'OUT1', userAgent: 'Outlook-iOS-Android/1.0', deviceType: 'Outlook' }),
        )
      ).outcome,
      'other-platform',
    );
    assert.equal((await sight(seen({ easDeviceId: 'EVE1', user: 'eve@example.org' }))).outcome, 'ambiguous');
    // A second device of hers without an id: no telling which.
    const second = await tenant.device({ userEmail });
    assert.equal((await sight(seen({ easDeviceId: 'SEC1' }))).outcome, 'ambiguous');
    await say(deps, deviceDecider, { tenantId, id: second }, { type: 'BindEasId', easDeviceId: 'SEC1' });
    assert.deepEqual(await sight(seen({ easDeviceId: 'SEC2', user: 'corp\\ada' })), {
      outcome: 'bound',
      deviceId: mine,
    });
    assert.equal((await tenant.state(mine)).inventory.easDeviceId, 'SEC2');
    assert.equal((await tenant.events(mine, 'DeviceEasIdBound'))[0]?.metadata.actor.id, 'bind-mail-device');
    assert.equal((await other.state(theirs)).inventory.easDeviceId, undefined);
    // The device does not know its own id: that it reports none takes nothing away.
    await tenant.on(mine, (now) => ({
      type: 'CheckIn',
      now,
      compliance: null,
      checkInId: 'after',
      inventory: { easDeviceId: null, osVersion: '15' },
    }));
    assert.deepEqual((await tenant.state(mine)).inventory.easDeviceId, 'SEC2');
    assert.equal((await tenant.state(mine)).inventory.osVersion, '15');
  });

  test('a repeated transfer adds nothing; devices that refuse are counted and do not stop the rest', async () => {
    const tenant = await foundTenant(stage.deps);
    const groupId = await tenant.group();
    const bundle = await tenant.bundle([
      { type: 'uninstall-app', parameters: { appId: 'com.example' } } as never,
    ]);
    const [first, left] = [await tenant.device({ groupId }), await tenant.device({ groupId })];
    const reserved = newId('dev');
    await tenant.on(reserved, {
      type: 'RegisterDevice',
      name: 'Registered',
      platform: 'android',
      ownership: 'corporate',
      userEmail: null,
      groupId,
      serialNumber: null,
    });
    await tenant.on(left, (now) => ({ type: 'UnenrolDevice', now, compliance: null }));
    const { job, event } = await transfer(tenant.tenantId, bundle, { kind: 'group', groupId });
    assert.deepEqual(job.returnvalue, {
      queued: 1,
      repeated: 0,
      refused: 1,
      reasons: { 'device-not-enrolled': 1 },
    });
    const taskIds = (await tenant.state(first)).openTasks.map(({ taskId }) => taskId);

    await job.remove();
    await stage.stopWorkers();
    await stage.deps.sql`delete from workers.checkpoints`;
    await stage.startWorkers();
    const again = await stage.settled('transfer-task-bundle', event.id);
    assert.deepEqual(again.returnvalue.repeated, 1);
    assert.deepEqual(
      (await tenant.state(first)).openTasks.map(({ taskId }) => taskId),
      taskIds,
    );
  });

  test('revising and assigning compliance policies reviews the devices concerned, of that tenant alone', async () => {
    const [tenant, other] = [await foundTenant(stage.deps), await foundTenant(stage.deps)];
    const [policyId, theirPolicyId] = [
      await tenant.compliance(minimumOs('10')),
      await other.compliance(minimumOs('10')),
    ];
    const groupId = await tenant.group();
    const [plain, grouped] = [await tenant.device(), await tenant.device({ groupId })];
    const theirs = await other.device();
    const strict = newId('cmp');
    await say(
      stage.deps,
      compliancePolicyDecider,
      { tenantId: tenant.tenantId, id: strict },
      {
        type: 'CreateCompliancePolicy',
        name: 'Strict',
        settings: minimumOs('99'),
      },
    );
    await say(
      stage.deps,
      groupDecider,
      { tenantId: tenant.tenantId, id: groupId },
      {
        type: 'AssignGroupCompliancePolicy',
        compliancePolicyId: strict,
      },
    );
    const verdictUnder = (deviceId: DeviceId, id: string, version: number) =>
      untilEvent(stage.deps, ({ entityId, type, data }) => {
        const { verdict } = data as {
          verdict?: { compliancePolicyId: string; compliancePolicyVersion: number };
        };
        return (
          entityId === deviceId &&
          type === 'ComplianceVerdictReached' &&
          verdict?.compliancePolicyId === id &&
          verdict.compliancePolicyVersion === version
        );
      });
    await verdictUnder(grouped, strict, 1);
    assert.equal((await tenant.state(grouped)).verdict?.status, 'non-compliant');

    await say(
      stage.deps,
      compliancePolicyDecider,
      { tenantId: tenant.tenantId, id: policyId },
      {
        type: 'ReviseCompliancePolicy',
        settings: minimumOs('50'),
      },
    );
    const reached = await verdictUnder(plain, policyId, 2);
    assert.deepEqual(reached.metadata.actor, { kind: 'system', id: 'review-fleet' });
    assert.equal((await tenant.state(plain)).verdict?.status, 'non-compliant');
    assert.equal((await tenant.state(grouped)).verdict?.compliancePolicyId, strict);
    const { verdict } = await other.state(theirs);
    assert.deepEqual([verdict?.compliancePolicyId, verdict?.status], [theirPolicyId, 'compliant']);
  });

  test('time alone reaches a verdict and takes its action, once for the episode; tasks expire', async () => {
    const tenant = await foundTenant(stage.deps);
    const bundle = await tenant.bundle([refresh]);
    const gap = (minutes: number): ComplianceSettings => ({
      android: [
        {
          rule: 'maximum-sync-gap',
          parameters: { minutes },
          actions: [{ action: 'transfer-task-bundle', taskBundleId: bundle }],
        },
      ],
    });
    await tenant.compliance(gap(60));
    const assigned = await untilEvent(
      stage.deps,
      ({ tenantId, type }) => tenantId === tenant.tenantId && type === 'TenantCompliancePolicyAssigned',
    );
    // The review that the assignment asks for must be over before the clock moves: it would reach the verdict first.
    await stage.settled('review-fleet', assigned.id);
    const [silent, groupless] = [
      await tenant.device(),
      await tenant.device({ groupId: null as GroupId | null }),
    ];
    assert.equal((await tenant.state(silent)).verdict?.status, 'compliant');
    await tenant.queue(groupless, lock);
    stage.move(61 * 60_000);
    const isVerdict = ({ entityId, type }: { entityId: string; type: string }) =>
      entityId === silent && type === 'ComplianceVerdictReached';
    const reached = await untilEvent(
      stage.deps,
      (event) => isVerdict(event) && event.metadata.actor.id === 'review-devices',
    );
    assert.equal((reached.data as { verdict: { status: string } }).verdict.status, 'non-compliant');
    await untilEvent(stage.deps, ({ entityId, type }) => entityId === silent && type === 'TaskQueued');
    const transfers = async () => (await tenant.events(silent, 'TaskQueued')).length;
    assert.equal(await transfers(), 1);

    // The same episode seen again, under another rule set, makes the same transfer; a new episode makes a new one.
    const rule = reached.data as { verdict: { violations: { since: string; rule: string }[] } };
    const jobId = `${reached.id}.maximum-sync-gap.${bundle}`;
    assert.equal((await stage.settled('act-on-verdict', jobId)).returnvalue.outcome, 'transferred');
    assert.equal(rule.verdict.violations[0]?.rule, 'maximum-sync-gap');
    const job = await stage.queue('act-on-verdict').getJob(jobId);
    await job?.remove();
    await stage.stopWorkers();
    await stage.deps.sql`delete from workers.checkpoints`;
    await stage.startWorkers();
    assert.equal((await stage.settled('act-on-verdict', jobId)).returnvalue.outcome, 'transferred-already');
    assert.equal(await transfers(), 1);

    stage.move(72 * hourMs);
    await untilEvent(stage.deps, ({ entityId, type }) => entityId === groupless && type === 'TaskExpired');
    assert.deepEqual(
      await taskTypes(tenant, groupless).then((types) => types.filter((type) => type === 'lock')),
      [],
    );
  });

  test('compliance policies wipe no more devices an hour than one person may', async () => {
    const tenant = await foundTenant(stage.deps);
    const { tenantId } = tenant;
    const bundle = await tenant.bundle([{ type: 'wipe', parameters: {} }]);
    const setSafeguard = { type: 'SetSafeguard', devicesPerHour: 1 } as const;
    await say(stage.deps, safeguardDecider, { tenantId, id: tenantId }, setSafeguard);
    await tenant.compliance({
      android: [
        {
          rule: 'minimum-os-version',
          parameters: { version: '99' },
          actions: [{ action: 'transfer-task-bundle', taskBundleId: bundle }],
        },
      ],
    });
    const first = await tenant.device();
    await untilEvent(stage.deps, ({ entityId, type }) => entityId === first && type === 'TaskQueued');
    const second = await tenant.device();
    const [reached] = await tenant.events(second, 'ComplianceVerdictReached');
    const jobId = `${reached?.id}.minimum-os-version.${bundle}`;
    const held = await untilHeld(stage.queue('act-on-verdict'), jobId);
    assert.match(held.failedReason, /at most 1 devices an hour/);
    assert.deepEqual(await tenant.events(second, 'TaskQueued'), []);
    // An hour later it is its turn.
    stage.move(hourMs);
    await held.promote();
    assert.equal((await stage.settled('act-on-verdict', jobId)).returnvalue.outcome, 'transferred');
  });

  test('an action whose bundle is retired is a dead job with the refusal as its reason', async () => {
    const tenant = await foundTenant(stage.deps);
    const bundle = await tenant.bundle([refresh]);
    await say(
      stage.deps,
      taskBundleDecider,
      { tenantId: tenant.tenantId, id: bundle },
      { type: 'RetireTaskBundle' },
    );
    await tenant.compliance({
      android: [
        {
          rule: 'minimum-os-version',
          parameters: { version: '99' },
          actions: [{ action: 'transfer-task-bundle', taskBundleId: bundle }],
        },
      ],
    });
    const device = await tenant.device();
    const [reached] = await tenant.events(device, 'ComplianceVerdictReached');
    const job = await stage.settled('act-on-verdict', `${reached?.id}.minimum-os-version.${bundle}`);
    assert.match(job.failedReason, /^bundle-retired: /);
    assert.equal(job.attemptsMade, 1);
  });
});
