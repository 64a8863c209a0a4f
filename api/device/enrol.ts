/**
 * `POST /device/v1/enroll`: a one-time code becomes a device and its token. Called by main.ts.
 *
 * Three streams are written: the tenant's seats, the enrolment's and then the device's. A crash between them is mended
 * by the device repeating its request: the used code knows its `requestId`, and a code makes one device, whose id
 * follows from the code's. A seat that was taken for a request that nobody repeats is given back by workers/.
 */
import type { IncomingMessage } from 'node:http';
import type { EnrolDevice } from '../../domain/device/commands.ts';
import { deviceDecider } from '../../domain/device/decide.ts';
import { enrolmentDecider } from '../../domain/enrolment/decide.ts';
import type { EnrolmentState } from '../../domain/enrolment/enrolment.ts';
import type { DeviceId, EnrolmentId, TenantId } from '../../domain/ids.ts';
import { licenceDecider } from '../../domain/licence/decide.ts';
import { allotmentOf, mayEnrol } from '../../domain/licence/entitlement.ts';
import { isRefusal, type Refusal, refuse } from '../../domain/refusals.ts';
import { seatDecider } from '../../domain/seat/decide.ts';
import { standingOf } from '../../domain/tenant/standing.ts';
import type { ExistingTenant } from '../../domain/tenant/tenant.ts';
import { isoTime } from '../../platform/clock.ts';
import { complianceInForce } from '../../platform/compliance-in-force.ts';
import type { ServerConfig } from '../../platform/config.ts';
import type { Deps } from '../../platform/deps.ts';
import { MusterError } from '../../platform/errors.ts';
import type { Cause } from '../../platform/handle.ts';
import { theLicence } from '../../platform/licence.ts';
import { canonicalCode, hashSecret, newSecret } from '../../platform/new-id.ts';
import { findEnrolmentByCodeHash } from '../../projections/enrolments.ts';
import type { Answer } from './answer.ts';
import { readJson } from './body.ts';
import { nextSyncSeconds } from './compose.ts';
import { deviceTokenOf } from './identify.ts';
import { mayStoreApps, servedTenant } from './policies-in-force.ts';
import type { Throttle } from './throttle.ts';
import { type EnrolReply, type EnrolRequest, enrolRequest, parseBody } from './wire.ts';

type Enrolment = Exclude<EnrolmentState, { status: 'none' }>;

/** One request to enrol, once its code was found. */
interface Enrolling {
  readonly tenantId: TenantId;
  readonly enrolmentId: EnrolmentId;
  readonly request: EnrolRequest;
  readonly tokenHash: string;
  readonly tenant: ExistingTenant;
}

/** An allotment that was changed on another node counts here after this many ms. */
const licenceMaxAgeMs = 2000;

/** Makes the command on the device as it is now; a registered device keeps the group that it was given. */
const enrolOn =
  (deps: Deps, enrolling: Enrolling, enrolment: Enrolment, registered: DeviceId | null) =>
  async (now: string): Promise<EnrolDevice> => {
    const { tenantId, enrolmentId, request, tokenHash } = enrolling;
    const { requestId, platform, inventory, push } = request;
    const { ownership, userEmail } = enrolment;
    const apps = mayStoreApps(enrolling.tenant, ownership) ? request.apps : undefined;
    const device = registered && (await deps.handler.load(deviceDecider, { tenantId, id: registered })).state;
    const groupId = enrolment.groupId ?? (device ? device.groupId : null);
    const compliance = await complianceInForce(deps.handler, tenantId, groupId, 0);
    const name = request.name ?? inventory?.name ?? inventory?.model ?? 'Unnamed device';
    const given = { enrolmentId, requestId, tokenHash, name, platform, ownership, userEmail, groupId };
    return { type: 'EnrolDevice', now, compliance, ...given, inventory, apps, push };
  };

/** The device that a code enrols: the registered one, or a new one whose id repeats the code's. */
const deviceOf = (enrolmentId: EnrolmentId, { deviceId }: Enrolment): DeviceId =>
  deviceId ?? (enrolmentId.replace(/^enr/, 'dev') as DeviceId);

const useOf = (enrolling: Enrolling, enrolment: Enrolment) => {
  const deviceId = deviceOf(enrolling.enrolmentId, enrolment);
  const { platform, requestId } = enrolling.request;
  const standing = standingOf(enrolling.tenant);
  return (now: string) => ({ type: 'UseEnrolment' as const, now, deviceId, platform, requestId, standing });
};

/** Refuses what the code and the registered device would refuse, before a seat and the code are spent on it. */
const rehearse = async (
  deps: Deps,
  enrolling: Enrolling,
  enrolment: Enrolment,
): Promise<Refusal | undefined> => {
  const now = isoTime(deps.clock());
  const used = enrolmentDecider.decide(useOf(enrolling, enrolment)(now), enrolment);
  if (isRefusal(used)) return used;
  if (enrolment.status !== 'open' || enrolment.deviceId === null) return undefined;
  const { tenantId } = enrolling;
  const { state } = await deps.handler.load(deviceDecider, { tenantId, id: enrolment.deviceId });
  const command = await enrolOn(deps, enrolling, enrolment, enrolment.deviceId)(now);
  const decided = deviceDecider.decide(command, state);
  return isRefusal(decided) ? decided : undefined;
};

/** Takes the seat that the device needs, unless it is enrolled already: then this request only repeats another. */
const takeSeat = async (
  deps: Deps,
  { tenantId, enrolmentId, request }: Enrolling,
  enrolment: Enrolment,
): Promise<Refusal | undefined> => {
  const { handler } = deps;
  const deviceId = deviceOf(enrolmentId, enrolment);
  const { state: device } = await handler.load(deviceDecider, { tenantId, id: deviceId });
  if (device.status === 'enrolled') return undefined;
  const { state: licence } = await handler.load(licenceDecider, theLicence, { maxAgeMs: licenceMaxAgeMs });
  const refused = mayEnrol(licence, tenantId, isoTime(deps.clock()));
  if (refused) return refused;
  const userEmail = enrolment.userEmail ?? device.userEmail;
  const allotted = allotmentOf(licence, tenantId).seats;
  const taken = await handler.handle(
    seatDecider,
    { tenantId, id: tenantId },
    (now) => ({ type: 'TakeSeat' as const, now, deviceId, userEmail, enrolmentId, allotted }),
    // Clients choose request ids: two devices of one ledger may use the same one.
    { actor: { kind: 'device', id: deviceId }, commandId: `enrol ${deviceId} ${request.requestId}` },
  );
  return isRefusal(taken) ? taken : undefined;
};

/** Spends the code, then enrols the device that it names or makes; answers the device and whether work waits. */
const enrolDevice = async (
  deps: Deps,
  enrolling: Enrolling,
  enrolment: Enrolment,
): Promise<{ deviceId: DeviceId; busy: boolean } | Refusal> => {
  const { handler } = deps;
  const { tenantId, enrolmentId, request } = enrolling;
  const deviceId = deviceOf(enrolmentId, enrolment);
  const cause: Cause = { actor: { kind: 'device', id: deviceId }, commandId: `enrol ${request.requestId}` };
  const used = await handler.handle(
    enrolmentDecider,
    { tenantId, id: enrolmentId },
    useOf(enrolling, enrolment),
    cause,
  );
  if (isRefusal(used)) return used;
  const enrolled = await handler.handle(
    deviceDecider,
    { tenantId, id: deviceId },
    enrolOn(deps, enrolling, enrolment, enrolment.deviceId),
    cause,
  );
  if (isRefusal(enrolled)) return enrolled;
  return { deviceId, busy: Object.keys(enrolled.state.policies).length > 0 };
};

/** Handles one enrolment. Repeatable by its `requestId`, with a new token each time, until the first check-in. */
export const enrol = async (
  req: IncomingMessage,
  config: ServerConfig,
  deps: Deps,
  throttle: Throttle,
): Promise<Answer> => {
  const address = req.socket.remoteAddress ?? '';
  const retryAfterMs = throttle.waitMs(address);
  if (retryAfterMs > 0) throw new MusterError('too-many-attempts', 'unknown codes', { retryAfterMs });
  const request = parseBody(enrolRequest, await readJson(req));
  const found = await findEnrolmentByCodeHash(deps.sql, hashSecret(canonicalCode(request.code)));
  if (!found) {
    throttle.fail(address);
    return { refusal: refuse('enrolment-missing', { field: 'code' }) };
  }
  const { tenantId, enrolmentId } = found;
  const tenant = await servedTenant(deps.handler, tenantId);
  if (isRefusal(tenant)) return { refusal: tenant };
  const { state: enrolment } = await deps.handler.load(enrolmentDecider, { tenantId, id: enrolmentId });
  if (enrolment.status === 'none') return { refusal: refuse('enrolment-missing', { field: 'code' }) };
  const secret = newSecret();
  const enrolling = { tenantId, enrolmentId, request, tokenHash: hashSecret(secret), tenant };
  const fault = (await rehearse(deps, enrolling, enrolment)) ?? (await takeSeat(deps, enrolling, enrolment));
  if (fault) return { refusal: fault };
  const enrolled = await enrolDevice(deps, enrolling, enrolment);
  if (isRefusal(enrolled)) return { refusal: enrolled };
  const { deviceId, busy } = enrolled;
  const body: EnrolReply = {
    deviceId,
    deviceToken: deviceTokenOf(tenantId, deviceId, secret),
    tenantName: tenant.name,
    nextSyncSeconds: nextSyncSeconds(config, deviceId, busy),
  };
  return { status: 201, body };
};
