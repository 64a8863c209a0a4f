/**
 * Workers on real servers for a test: projector, reactor, jobs, a loopback FCM and a clock that the test moves; and
 * tenants with devices, told through the real write side. Called by the tests of workers/.
 */
import assert from 'node:assert/strict';
import type { ComplianceSettings } from '../../domain/compliance/settings.ts';
import { compliancePolicyDecider } from '../../domain/compliance-policy/decide.ts';
import type { Decider } from '../../domain/decider.ts';
import type { DeviceCommand } from '../../domain/device/commands.ts';
import { deviceDecider } from '../../domain/device/decide.ts';
import type { DeviceState } from '../../domain/device/device.ts';
import { groupDecider } from '../../domain/group/decide.ts';
import type { CompliancePolicyId, DeviceId, GroupId, TaskBundleId, TenantId } from '../../domain/ids.ts';
import { isRefusal, type Refusal } from '../../domain/refusals.ts';
import { taskBundleDecider } from '../../domain/task-bundle/decide.ts';
import type { Task } from '../../domain/task-bundle/tasks/index.ts';
import { tenantDecider } from '../../domain/tenant/decide.ts';
import type { Platform } from '../../domain/text.ts';
import { complianceInForce } from '../../platform/compliance-in-force.ts';
import { readConfig, serverSettings } from '../../platform/config.ts';
import type { Deps } from '../../platform/deps.ts';
import { type StoredEvent, streamName } from '../../platform/event-store.ts';
import type { Handled } from '../../platform/handle.ts';
import { newId, newUuid } from '../../platform/new-id.ts';
import { type Job, openQueues, type QueueName } from '../../platform/queue.ts';
import { start as startProjections } from '../../projections/main.ts';
import { start as startWorkers, type Workers } from '../../workers/main.ts';
import { reactedCategories } from '../../workers/react.ts';
import { startFcm } from '../support/fcm.ts';
import { untilSettled } from '../support/jobs.ts';
import { license } from '../support/licence.ts';
import { startServers, testLog } from '../support/servers.ts';
import type { Backend } from './backends.ts';

type AnyEvent = { readonly type: string; readonly data: unknown };

export const lock: Task = { type: 'lock', parameters: {} };
export const refresh: Task = { type: 'refresh', parameters: {} };

/** Sends one command as a test; a refusal fails the test. */
export const say = async <State, Command, Event extends AnyEvent>(
  deps: Deps,
  decider: Decider<State, Command, Event>,
  target: { tenantId: TenantId; id: string },
  command: Command | ((now: string) => Command | Promise<Command>),
): Promise<Handled<State, Event>> => {
  const handled = await deps.handler.handle(decider, target, command, {
    actor: { kind: 'system', id: 'test' },
    commandId: newUuid(),
  });
  if (isRefusal(handled)) assert.fail(JSON.stringify(handled satisfies Refusal));
  return handled;
};

/** A tenant with what the tests need of it. */
export const foundTenant = async (deps: Deps) => {
  const tenantId = newId('ten');
  await say(
    deps,
    tenantDecider,
    { tenantId, id: tenantId },
    { type: 'CreateTenant', name: 'Tenant', slug: tenantId.slice(-12), kind: 'customer' },
  );
  return {
    tenantId,
    async group(): Promise<GroupId> {
      const groupId = newId('grp');
      await say(deps, groupDecider, { tenantId, id: groupId }, { type: 'CreateGroup', name: 'Group' });
      return groupId;
    },
    async bundle(
      tasks: readonly Task[],
      platforms: readonly Platform[] = ['android'],
    ): Promise<TaskBundleId> {
      const id = newId('bdl');
      await say(
        deps,
        taskBundleDecider,
        { tenantId, id },
        { type: 'CreateTaskBundle', name: 'Bundle', platforms, tasks },
      );
      return id;
    },
    /** Makes a compliance policy and puts the tenant under it. */
    async compliance(settings: ComplianceSettings): Promise<CompliancePolicyId> {
      const compliancePolicyId = newId('cmp');
      await say(
        deps,
        compliancePolicyDecider,
        { tenantId, id: compliancePolicyId },
        { type: 'CreateCompliancePolicy', name: 'Policy', settings },
      );
      await say(
        deps,
        tenantDecider,
        { tenantId, id: tenantId },
        { type: 'AssignTenantCompliancePolicy', compliancePolicyId },
      );
      return compliancePolicyId;
    },
    async device(
      options: {
        groupId?: GroupId | null;
        platform?: Platform;
        pushToken?: string | null;
        osVersion?: string;
        userEmail?: string | null;
        easDeviceId?: string;
      } = {},
    ): Promise<DeviceId> {
      const id = newId('dev');
      const { groupId = null, platform = 'android', pushToken = `token-${id}`, osVersion = '14' } = options;
      const { userEmail = null, easDeviceId } = options;
      await say(
        deps,
        deviceDecider,
        { tenantId, id },
        async (now): Promise<DeviceCommand> => ({
          type: 'EnrolDevice',
          now,
          compliance: await complianceInForce(deps.handler, tenantId, groupId, 0),
          enrolmentId: newId('enr'),
          requestId: newUuid(),
          tokenHash: 'a'.repeat(64),
          name: 'Device',
          platform,
          ownership: 'corporate',
          userEmail,
          groupId,
          inventory: { osVersion, ...(easDeviceId === undefined ? {} : { easDeviceId }) },
          ...(pushToken === null ? {} : { push: { provider: 'fcm', token: pushToken } }),
        }),
      );
      return id;
    },
    on(id: DeviceId, command: DeviceCommand | ((now: string) => DeviceCommand | Promise<DeviceCommand>)) {
      return say(deps, deviceDecider, { tenantId, id }, command);
    },
    /** Queues tasks on a device as one transfer. */
    queue(id: DeviceId, ...tasks: readonly Task[]) {
      return say(
        deps,
        deviceDecider,
        { tenantId, id },
        (now): DeviceCommand => ({
          type: 'QueueTasks',
          now,
          transferId: newId('trf'),
          taskBundleId: null,
          tasks: tasks.map((task) => ({ ...task, taskId: newId('tsk') })),
          policies: new Map(),
        }),
      );
    },
    async state(id: DeviceId): Promise<DeviceState> {
      return (await deps.handler.load(deviceDecider, { tenantId, id })).state;
    },
    /** The device's events of one type, as stored. */
    async events(id: DeviceId, type: string): Promise<StoredEvent[]> {
      const found: StoredEvent[] = [];
      for await (const event of deps.store.readStream(streamName('device', tenantId, id), 0n))
        if (event.type === type) found.push(event);
      return found;
    },
  };
};

/** Resolves with the first event, in log order, that fits; old ones count. */
export const untilEvent = async (deps: Deps, fits: (event: StoredEvent) => boolean): Promise<StoredEvent> => {
  const found = new AbortController();
  try {
    for await (const { events } of deps.store.follow({
      categories: reactedCategories,
      signal: found.signal,
    })) {
      const event = events.find(fits);
      if (event) return event;
    }
  } finally {
    found.abort();
  }
  throw new Error('the log ended');
};

/** Servers, projector, workers and FCM of one test file. */
export const startStage = async (backend: Backend, settings: Record<string, string> = {}) => {
  let shiftMs = 0;
  const clock = () => Date.now() + shiftMs;
  const servers = await startServers({ clock });
  await license(servers.deps);
  const { redisUrl, stop: stopBackend } = await backend.start();
  const queues = openQueues({ redisUrl, databaseUrl: servers.databaseUrl }, testLog);
  const deps: Deps = { ...servers.deps, queues };
  const fcm = await startFcm(clock);
  const config = readConfig(
    serverSettings,
    { fcmServiceAccountFile: fcm.serviceAccountFile, fcmEndpoint: fcm.endpoint, ...settings },
    {},
  );
  const projector = await startProjections(config, deps);
  let workers: Workers | undefined = await startWorkers(config, deps);
  const opened = new Map<QueueName, ReturnType<typeof queues.queue>>();
  const queue = (name: QueueName) => {
    const known = opened.get(name) ?? queues.queue(name);
    opened.set(name, known);
    return known;
  };
  return {
    deps,
    config,
    fcm,
    queue,
    move: (ms: number) => {
      shiftMs += ms;
    },
    settled: (name: QueueName, jobId: string): Promise<Job> => untilSettled(queue(name), jobId),
    async stopWorkers() {
      await workers?.stop();
      workers = undefined;
    },
    /** Starts workers again, with another `deps` when given. */
    async startWorkers(other: Deps = deps) {
      workers = await startWorkers(config, other);
    },
    async stop() {
      await workers?.stop();
      await projector.stop();
      await queues.close();
      await fcm.stop();
      await stopBackend();
      await servers.stop();
    },
  };
};
export type Stage = Awaited<ReturnType<typeof startStage>>;
