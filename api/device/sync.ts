/**
 * `POST /device/v1/sync`: one check-in. Authenticates, reads and parses the body, decides and appends once, composes
 * the reply. Called by main.ts; nothing is acknowledged before its event is durable.
 */
import type { IncomingMessage } from 'node:http';
import type { CheckIn } from '../../domain/device/commands.ts';
import { deviceDecider } from '../../domain/device/decide.ts';
import type { DeviceState } from '../../domain/device/device.ts';
import { isRefusal } from '../../domain/refusals.ts';
import type { ExistingTenant } from '../../domain/tenant/tenant.ts';
import { isoTime } from '../../platform/clock.ts';
import type { ServerConfig } from '../../platform/config.ts';
import type { Deps } from '../../platform/deps.ts';
import { MusterError } from '../../platform/errors.ts';
import type { Answer } from './answer.ts';
import { readJson } from './body.ts';
import { composeReply } from './compose.ts';
import { type Credential, identify, verify } from './identify.ts';
import { complianceFor, mayStoreApps, pendingPolicies, servedTenant } from './policies-in-force.ts';
import { appsPerDevice, parseBody, type SyncRequest, syncRequest } from './wire.ts';

/** Refuses a delta that would make the device's list of apps grow without bound. */
const checkApps = ({ apps }: SyncRequest, state: DeviceState): void => {
  if (!apps?.installed || apps.complete) return;
  if (Object.keys(state.apps).length + apps.installed.length <= appsPerDevice) return;
  throw new MusterError('invalid-input', `at most ${appsPerDevice} apps; send the whole list as complete`, {
    field: 'apps.installed',
  });
};

/** The report as it may be stored: of apps that nobody may see, what is known is withdrawn. */
const permitted = (request: SyncRequest, state: DeviceState, tenant: ExistingTenant): SyncRequest => {
  if (mayStoreApps(tenant, state.ownership) || (request.apps === undefined && !state.appsKnown))
    return request;
  return { ...request, apps: { complete: true, installed: [] } };
};

/**
 * The command, made anew for each attempt at deciding it: the state it will be decided on is in the handler's cache,
 * so the credential is proven, and the compliance policy found, on that state and never on an older one.
 */
const checkInOn =
  (deps: Deps, credential: Credential, request: SyncRequest, tenant: ExistingTenant) =>
  async (now: string): Promise<CheckIn> => {
    const { tenantId, deviceId: id } = credential;
    const { state } = await deps.handler.load(
      deviceDecider,
      { tenantId, id },
      { maxAgeMs: Number.POSITIVE_INFINITY },
    );
    verify(credential, state);
    checkApps(request, state);
    return {
      type: 'CheckIn',
      now,
      compliance: await complianceFor(deps.handler, tenantId, state),
      ...permitted(request, state, tenant),
    };
  };

/** Handles one check-in. Idempotent by `checkInId`: a repeated one changes nothing and is answered as before. */
export const sync = async (req: IncomingMessage, config: ServerConfig, deps: Deps): Promise<Answer> => {
  const { handler, clock } = deps;
  const credential = await identify(handler, req.headers.authorization);
  const { tenantId, deviceId } = credential;
  const tenant = await servedTenant(handler, tenantId);
  if (isRefusal(tenant)) return { refusal: tenant };
  const request = parseBody(syncRequest, await readJson(req));
  const handled = await handler.handle(
    deviceDecider,
    { tenantId, id: deviceId },
    checkInOn(deps, credential, request, tenant),
    { actor: { kind: 'device', id: deviceId }, commandId: `check-in ${request.checkInId}` },
  );
  if (isRefusal(handled)) return { refusal: handled };
  const { state, events } = handled;
  const policies = await pendingPolicies(handler, tenantId, state);
  const now = isoTime(clock());
  return { status: 200, body: composeReply({ deviceId, request, state, events, policies, now }, config) };
};
