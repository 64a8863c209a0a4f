/**
 * Commands and decisions of a sighting. Called through platform/handle.ts by api/proxy/status.ts, which proxies report
 * to, and by platform/bind-mail-device.ts.
 */
import { type Decider, type Decision, never } from '../decider.ts';
import type { DeviceId } from '../ids.ts';
import { refuse } from '../refusals.ts';
import {
  evolveMailSighting,
  initialMailSighting,
  type MailSightingEvent,
  type MailSightingState,
  mailSightingEvents,
  type Sighting,
} from './mail-sighting.ts';

export type MailSightingCommand =
  | ({ readonly type: 'SightMailDevice' } & Sighting)
  | { readonly type: 'BindMailSighting'; readonly deviceId: DeviceId; readonly automatically: boolean }
  | { readonly type: 'DismissMailSighting' };

/** The same pair is recorded again after a day: phones ask every few minutes. */
const againMs = 86_400_000;
/** A proxy may go on seeing an unknown device for as long as its verdict takes to get there. */
const settlingMs = 600_000;

const sight = (
  { type: _, ...data }: Extract<MailSightingCommand, { type: 'SightMailDevice' }>,
  state: MailSightingState,
): Decision<MailSightingEvent> => {
  const isNews =
    state.status === 'none' ||
    (state.status === 'bound'
      ? Date.parse(data.at) - Date.parse(state.settledAt ?? state.at) >= settlingMs
      : Date.parse(data.at) - Date.parse(state.at) >= againMs);
  return isNews ? [{ type: 'MailDeviceSighted', data }] : [];
};

/** Decides one command: see the refusals it names. */
export const decideMailSighting = (
  command: MailSightingCommand,
  state: MailSightingState,
): Decision<MailSightingEvent> => {
  if (command.type === 'SightMailDevice') return sight(command, state);
  if (state.status === 'none') return refuse('mail-sighting-missing', { field: 'sightingId' });
  switch (command.type) {
    case 'BindMailSighting': {
      const { type: _, ...data } = command;
      return state.status === 'bound' && state.deviceId === data.deviceId
        ? []
        : [{ type: 'MailSightingBound', data }];
    }
    case 'DismissMailSighting':
      return state.status === 'open' ? [{ type: 'MailSightingDismissed', data: {} }] : [];
    default:
      return never(command);
  }
};

export const mailSightingDecider: Decider<MailSightingState, MailSightingCommand, MailSightingEvent> = {
  events: mailSightingEvents,
  stateVersion: 1,
  initial: initialMailSighting,
  evolve: evolveMailSighting,
  decide: decideMailSighting,
};
