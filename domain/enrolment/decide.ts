/**
 * Commands and decisions of an enrolment. Called through platform/handle.ts by api/graphql/enrolment.ts and
 * api/device/enrol.ts.
 */
import { type Decider, type Decision, type EventOf, never } from '../decider.ts';
import type { DeviceId } from '../ids.ts';
import { refuse } from '../refusals.ts';
import { standingFault, type TenantStanding } from '../tenant/standing.ts';
import type { Platform } from '../text.ts';
import {
  type EnrolmentEvent,
  type EnrolmentState,
  enrolmentEvents,
  evolveEnrolment,
  initialEnrolment,
} from './enrolment.ts';

type Created = Extract<EventOf<typeof enrolmentEvents>, { type: 'EnrolmentCreated' }>['data'];

export type EnrolmentCommand =
  | ({ readonly type: 'CreateEnrolment' } & Created)
  /** `deviceId` is the id for a new device; a code made for a registered device keeps that device's. */
  | {
      readonly type: 'UseEnrolment';
      readonly now: string;
      readonly deviceId: DeviceId;
      readonly platform: Platform;
      readonly requestId: string;
      /** What the tenant may still begin. */
      readonly standing?: TenantStanding | undefined;
    }
  | { readonly type: 'RevokeEnrolment' };

/**
 * Decides one command: see the refusals it names. Using a code twice is refused, except by the request that used
 * it, which is answered as before.
 */
export const decideEnrolment = (
  command: EnrolmentCommand,
  state: EnrolmentState,
): Decision<EnrolmentEvent> => {
  if (command.type === 'CreateEnrolment') {
    const { type: _, ...data } = command;
    return state.status === 'none' ? [{ type: 'EnrolmentCreated', data }] : [];
  }
  if (state.status === 'none') return refuse('enrolment-missing', { field: 'code' });
  switch (command.type) {
    case 'UseEnrolment': {
      if (state.status === 'used')
        return state.requestId === command.requestId ? [] : refuse('enrolment-used', { field: 'code' });
      if (state.status === 'revoked') return refuse('enrolment-revoked', { field: 'code' });
      if (command.now >= state.expiresAt)
        return refuse('enrolment-expired', { field: 'code', detail: `it expired at ${state.expiresAt}` });
      if (state.platform !== null && state.platform !== command.platform) {
        return refuse('platform-mismatch', {
          field: 'platform',
          detail: `the code is for ${state.platform}`,
        });
      }
      const fault = standingFault(command.standing, command.now, command.platform);
      if (fault) return fault;
      return [
        {
          type: 'EnrolmentUsed',
          data: { deviceId: state.deviceId ?? command.deviceId, requestId: command.requestId },
        },
      ];
    }
    case 'RevokeEnrolment':
      if (state.status === 'used') return refuse('enrolment-used');
      return state.status === 'revoked' ? [] : [{ type: 'EnrolmentRevoked', data: {} }];
    default:
      return never(command);
  }
};

export const enrolmentDecider: Decider<EnrolmentState, EnrolmentCommand, EnrolmentEvent> = {
  events: enrolmentEvents,
  stateVersion: 1,
  initial: initialEnrolment,
  evolve: evolveEnrolment,
  decide: decideEnrolment,
};
