/**
 * Commands and decisions of a tenant's safeguard. Called through platform/handle.ts by api/graphql/safeguard.ts.
 */
import { type Decider, type Decision, never } from '../decider.ts';
import type { ApprovalId } from '../ids.ts';
import { type Refusal, refuse } from '../refusals.ts';
import {
  type Approval,
  complianceActor,
  evolveSafeguard,
  hourMs,
  initialSafeguard,
  type Operation,
  type SafeguardEvent,
  type SafeguardState,
  safeguardEvents,
} from './safeguard.ts';

export type SafeguardCommand =
  /** Asks to do something to `devices` devices: allowed at once, or a request for approval. */
  | {
      readonly type: 'AskDangerousAct';
      readonly approvalId: ApprovalId;
      readonly actorId: string;
      readonly devices: number;
      readonly operation: Operation;
      readonly now: string;
    }
  /** What a compliance policy does by itself, to one device: all policies of the tenant share the limit of one person. */
  | {
      readonly type: 'TakeAutomaticAct';
      readonly approvalId: ApprovalId;
      readonly now: string;
    }
  /** `trustedSince`: since when nobody else had the approving account in hand. */
  | {
      readonly type: 'GrantApproval';
      readonly approvalId: ApprovalId;
      readonly actorId: string;
      readonly trustedSince: string;
      readonly now: string;
    }
  | {
      readonly type: 'RefuseApproval';
      readonly approvalId: ApprovalId;
      readonly actorId: string;
      readonly reason: string;
    }
  | { readonly type: 'RecordCarriedOut'; readonly approvalId: ApprovalId }
  | { readonly type: 'SetSafeguard'; readonly devicesPerHour: number };

/** How long a request waits for its approval. */
const approvalMs = 24 * hourMs;
/** An account must have been its owner's for this long before it counts as a second person. */
const trustedAfterMs = 24 * hourMs;

const later = (now: string, ms: number): string => new Date(Date.parse(now) + ms).toISOString();

type Ask = Extract<SafeguardCommand, { type: 'AskDangerousAct' }>;

/** Devices that somebody wiped or unenrolled without approval within the hour before `now`. */
const doneBy = ({ acts }: SafeguardState, actorId: string, now: string): number => {
  const hourAgo = later(now, -hourMs);
  return acts
    .filter((act) => act.actorId === actorId && act.at > hourAgo)
    .reduce((sum, act) => sum + act.devices, 0);
};

/** Raising the limit is as dangerous as what it lets through; lowering it never is. */
const isAllowed = (state: SafeguardState, { actorId, devices, operation, now }: Ask): boolean => {
  if (operation.kind === 'set-safeguard') return operation.devicesPerHour <= state.devicesPerHour;
  return doneBy(state, actorId, now) + devices <= state.devicesPerHour;
};

const ask = (command: Ask, state: SafeguardState): Decision<SafeguardEvent> => {
  const { approvalId, actorId, devices, operation, now } = command;
  if (state.approvals[approvalId] || state.acts.some((act) => act.approvalId === approvalId)) return [];
  if (isAllowed(state, command))
    return [{ type: 'DangerousActAllowed', data: { approvalId, actorId, devices } }];
  const expiresAt = later(now, approvalMs);
  return [{ type: 'ApprovalRequested', data: { approvalId, actorId, devices, operation, expiresAt } }];
};

/** Nobody asks here who could wait for an approval: beyond the limit the act has to be tried again later. */
const takeAutomatic = (
  { approvalId, now }: Extract<SafeguardCommand, { type: 'TakeAutomaticAct' }>,
  state: SafeguardState,
): Decision<SafeguardEvent> => {
  if (state.acts.some((act) => act.approvalId === approvalId)) return [];
  if (doneBy(state, complianceActor, now) >= state.devicesPerHour)
    return refuse('approval-required', { detail: `at most ${state.devicesPerHour} devices an hour` });
  return [{ type: 'DangerousActAllowed', data: { approvalId, actorId: complianceActor, devices: 1 } }];
};

const openApproval = (
  state: SafeguardState,
  id: ApprovalId,
  wanted: Approval['status'],
): Approval | Refusal => {
  const approval = state.approvals[id];
  if (!approval) return refuse('approval-missing', { field: 'approvalId' });
  if (approval.status === 'open' || approval.status === wanted) return approval;
  return refuse('approval-decided', { field: 'approvalId', detail: `it is ${approval.status}` });
};

/** Decides one command: see the refusals it names. */
export const decideSafeguard = (
  command: SafeguardCommand,
  state: SafeguardState,
): Decision<SafeguardEvent> => {
  switch (command.type) {
    case 'AskDangerousAct':
      return ask(command, state);
    case 'TakeAutomaticAct':
      return takeAutomatic(command, state);
    case 'GrantApproval': {
      const { approvalId, actorId, trustedSince, now } = command;
      const approval = openApproval(state, approvalId, 'granted');
      if ('refused' in approval) return approval;
      if (approval.status === 'granted') return [];
      if (approval.actorId === actorId) return refuse('approval-own', { field: 'approvalId' });
      if (approval.expiresAt <= now) return refuse('approval-expired', { field: 'approvalId' });
      if (later(trustedSince, trustedAfterMs) > now)
        return refuse('approver-too-new', { detail: `since ${trustedSince}` });
      return [{ type: 'ApprovalGranted', data: { approvalId, actorId } }];
    }
    case 'RefuseApproval': {
      const { approvalId, actorId, reason } = command;
      const approval = openApproval(state, approvalId, 'refused');
      if ('refused' in approval) return approval;
      return approval.status === 'refused'
        ? []
        : [{ type: 'ApprovalRefused', data: { approvalId, actorId, reason } }];
    }
    case 'RecordCarriedOut': {
      const { approvalId } = command;
      const status = state.approvals[approvalId]?.status;
      if (status === 'carried-out') return [];
      if (status !== 'granted') return refuse('approval-missing', { field: 'approvalId' });
      return [{ type: 'ApprovalCarriedOut', data: { approvalId } }];
    }
    case 'SetSafeguard':
      if (state.devicesPerHour === command.devicesPerHour) return [];
      return [{ type: 'SafeguardSet', data: { devicesPerHour: command.devicesPerHour } }];
    default:
      return never(command);
  }
};

export const safeguardDecider: Decider<SafeguardState, SafeguardCommand, SafeguardEvent> = {
  events: safeguardEvents,
  stateVersion: 1,
  initial: initialSafeguard,
  evolve: evolveSafeguard,
  decide: decideSafeguard,
};
