/**
 * A decision in the making: events so far, and the state they lead to. Called by decide.ts and tasks.ts.
 */
import { type DeviceEvent, type DeviceState, evolveDevice } from './device.ts';

/** Events of a decision in the making, and the state they lead to. */
export interface Draft {
  readonly now: string;
  state: DeviceState;
  readonly events: DeviceEvent[];
}

/** Adds an event to a draft. */
export const record = (draft: Draft, event: DeviceEvent): void => {
  draft.events.push(event);
  draft.state = evolveDevice(draft.state, { ...event, at: draft.now });
};

/** An empty draft on a state. */
export const draftOf = (state: DeviceState, now: string): Draft => ({ now, state, events: [] });
