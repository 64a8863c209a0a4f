/**
 * Makes tenants and devices quickly: by the commands of the real deciders, many at once, without GraphQL, passwords and
 * enrolment codes. Called by main.ts of this folder.
 */
import { defaultComplianceSettings } from '../../api/provision.ts';
import { compliancePolicyDecider } from '../../domain/compliance-policy/decide.ts';
import type { Decider } from '../../domain/decider.ts';
import { deviceDecider } from '../../domain/device/decide.ts';
import type { DeviceId, TenantId } from '../../domain/ids.ts';
import { isRefusal } from '../../domain/refusals.ts';
import { tenantDecider } from '../../domain/tenant/decide.ts';
import { complianceInForce } from '../../platform/compliance-in-force.ts';
import { MusterError } from '../../platform/errors.ts';
import type { Handler } from '../../platform/handle.ts';
import { hashSecret, newId, newSecret, newUuid } from '../../platform/new-id.ts';

/** How many tenants or devices are made at once. */
const atOnce = 96;

/** Does something `count` times, `callers` at once. */
export const forEach = async (
  count: number,
  work: (index: number) => Promise<void>,
  callers = atOnce,
): Promise<void> => {
  let next = 0;
  const loop = async () => {
    for (let index = next++; index < count; index = next++) await work(index);
  };
  await Promise.all(Array.from({ length: callers }, loop));
};

const say = async <State, Command, Event extends { readonly type: string; readonly data: unknown }>(
  handler: Handler,
  decider: Decider<State, Command, Event>,
  target: { tenantId: TenantId; id: string },
  command: Command | ((now: string) => Command),
): Promise<void> => {
  const cause = { actor: { kind: 'system', id: 'bench' }, commandId: newUuid() } as const;
  const attempt = async (): Promise<unknown> => {
    try {
      return await handler.handle(decider, target, command, cause);
    } catch (error) {
      // Said again under the same id, it takes effect once: as any caller does who cannot know what became of it.
      if (!(error instanceof MusterError) || !error.retryable) throw error;
      console.log(`  repeated: ${error.message}`);
      return attempt();
    }
  };
  const handled = await attempt();
  if (isRefusal(handled)) throw new Error(`seeding was refused: ${JSON.stringify(handled)}`);
};

/** A tenant with the default compliance policy; nobody can sign in to it. */
const makeTenant = async (handler: Handler, index: number): Promise<TenantId> => {
  const tenantId = newId('ten');
  const compliancePolicyId = newId('cmp');
  const slug = `tenant-${index}`;
  const policy = {
    type: 'CreateCompliancePolicy',
    name: 'Default',
    settings: defaultComplianceSettings,
  } as const;
  const target = { tenantId, id: tenantId };
  await say(handler, compliancePolicyDecider, { tenantId, id: compliancePolicyId }, policy);
  const create = { type: 'CreateTenant', name: `Tenant ${index}`, slug, kind: 'customer' } as const;
  await say(handler, tenantDecider, target, create);
  await say(handler, tenantDecider, target, { type: 'AssignTenantCompliancePolicy', compliancePolicyId });
  return tenantId;
};

/** An enrolled device's token. */
const makeDevice = async (handler: Handler, tenantId: TenantId, index: number): Promise<string> => {
  const deviceId: DeviceId = newId('dev');
  const enrolmentId = newId('enr');
  const secret = newSecret();
  const compliance = await complianceInForce(handler, tenantId, null, Number.POSITIVE_INFINITY);
  await say(handler, deviceDecider, { tenantId, id: deviceId }, (now) => ({
    type: 'EnrolDevice' as const,
    now,
    compliance,
    enrolmentId,
    requestId: `seed ${index}`,
    tokenHash: hashSecret(secret),
    name: `Device ${index}`,
    platform: 'android' as const,
    ownership: 'corporate' as const,
    userEmail: `person${index}@bench.example`,
    groupId: null,
    inventory: {
      model: `Model ${index % 17}`,
      osVersion: '16',
      rooted: false,
      encrypted: true,
      screenLock: true,
    },
  }));
  return `muster-device.${tenantId}.${deviceId}.${secret}`;
};

/** Makes tenants and shares the devices out among them, in turn; answers the devices' tokens. */
export const seed = async (
  handler: Handler,
  { tenants, devices }: { readonly tenants: number; readonly devices: number },
): Promise<string[]> => {
  const ids: TenantId[] = [];
  await forEach(tenants, async (index) => {
    ids[index] = await makeTenant(handler, index);
  });
  const tokens: string[] = [];
  await forEach(devices, async (index) => {
    tokens[index] = await makeDevice(handler, ids[index % tenants] as TenantId, index);
  });
  return tokens;
};

/** Enrols devices in a tenant that is there. */
export const seedDevices = async (
  handler: Handler,
  tenantId: TenantId,
  devices: number,
): Promise<string[]> => {
  const tokens: string[] = [];
  await forEach(devices, async (index) => {
    tokens[index] = await makeDevice(handler, tenantId, index);
  });
  return tokens;
};
