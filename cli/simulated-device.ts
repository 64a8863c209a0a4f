/**
 * One simulated device: enrols with a code, checks in, carries out what it is told. Speaks the device protocol of
 * docs/device-rest.md through the server's real REST API. Called by simulate.ts and demo.ts.
 */
import { MusterError } from '../platform/errors.ts';
import { newUuid } from '../platform/new-id.ts';
import type { Client } from './client.ts';

/** What the device reports about itself; keys as in the device protocol. */
export interface Appearance {
  readonly platform: 'ios' | 'android' | 'macos' | 'windows';
  readonly name: string;
  readonly inventory: Record<string, unknown>;
  readonly apps: readonly { id: string; name: string; version: string }[];
}

/** A task as the server sends it. */
export interface ReceivedTask {
  readonly taskId: string;
  readonly type: string;
  readonly parameters: Record<string, unknown>;
}

/** The reply to a check-in, as far as a device looks at it. */
export interface SyncReply {
  readonly tasks: readonly ReceivedTask[];
  readonly policies: readonly { policyId: string; policyType: string; version: number; settings: unknown }[];
  readonly compliance: {
    status: string;
    violations: readonly { rule: string; why: string; since: string }[];
  };
  readonly nextSyncSeconds: number;
}

/** An enrolled device. */
export interface SimulatedDevice {
  readonly deviceId: string;
  /** Ids of check-ins that the server acknowledged. */
  readonly acknowledged: readonly string[];
  /** Inventory as last reported and acknowledged. */
  readonly reported: Readonly<Record<string, unknown>>;
  /**
   * Checks in, reporting `inventory` values that changed and the results of what the last reply asked for. To repeat a
   * check-in whose reply was lost, give its `checkInId` again; `push` tells where the device can be woken.
   */
  checkIn(
    inventory?: Record<string, unknown>,
    more?: { readonly checkInId?: string; readonly push?: { provider: string; token: string } },
  ): Promise<SyncReply>;
}

const expectStatus = (answer: { status: number; body: unknown }, status: number, what: string): void => {
  if (answer.status === status) return;
  throw new MusterError('internal', `${what} answered HTTP ${answer.status}: ${JSON.stringify(answer.body)}`);
};

/** Enrols a device with a one-time code. */
export const enrolDevice = async (
  client: Client,
  code: string,
  looks: Appearance,
): Promise<SimulatedDevice> => {
  const { platform, name, inventory, apps } = looks;
  const answer = await client.post<{ deviceId: string; deviceToken: string }>('/device/v1/enroll', {
    code,
    requestId: newUuid(),
    platform,
    name,
    inventory,
    apps: { complete: true, installed: apps },
  });
  expectStatus(answer, 201, 'enrolment');
  const { deviceId, deviceToken } = answer.body;
  const acknowledged: string[] = [];
  const reported = { ...inventory };
  let taskResults: { taskId: string; status: 'completed' }[] = [];
  let appliedPolicies: { policyId: string; version: number }[] = [];
  return {
    deviceId,
    acknowledged,
    reported,
    async checkIn(changes, { checkInId = newUuid(), push } = {}) {
      const reply = await client.post<SyncReply>(
        '/device/v1/sync',
        { checkInId, inventory: changes, push, taskResults, appliedPolicies },
        deviceToken,
      );
      expectStatus(reply, 200, 'check-in');
      acknowledged.push(checkInId);
      Object.assign(reported, changes);
      taskResults = reply.body.tasks.map(({ taskId }) => ({ taskId, status: 'completed' }));
      appliedPolicies = reply.body.policies.map(({ policyId, version }) => ({ policyId, version }));
      return reply.body;
    },
  };
};
