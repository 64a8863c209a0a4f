/**
 * Facts and state of a tenant's safeguard against mass loss: how many devices one person may wipe or unenrol in an
 * hour, who did, and what waits for the approval of a second administrator. One stream per tenant, named like it.
 * Decided by decide.ts beside this file; read by projections/approvals.ts.
 */
import { z } from 'zod';
import { defineEvents, type EventOf, type Fact, never } from '../decider.ts';
import { approvalId, deviceId, taskBundleId } from '../ids.ts';
import { transferTarget } from '../task-bundle/task-bundle.ts';
import { task } from '../task-bundle/tasks/index.ts';
import { line, time } from '../text.ts';

/** Devices that one account or API key may wipe or unenrol within an hour; 0: none without approval. */
export const devicesPerHour = z.int().min(0).max(100_000);

/** What was asked for, with all that is needed to carry it out later. */
export const operation = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('queue-task'), deviceId, task }),
  z.strictObject({ kind: z.literal('unenrol-device'), deviceId }),
  z.strictObject({
    kind: z.literal('transfer-task-bundle'),
    taskBundleId,
    version: z.int().min(1),
    target: transferTarget,
  }),
  z.strictObject({ kind: z.literal('set-safeguard'), devicesPerHour }),
]);
export type Operation = z.infer<typeof operation>;

/** Account or API key that did something, or all compliance policies of the tenant together. */
const actorId = line(64);
export const complianceActor = 'compliance';
const devices = z.int().min(0);

export const safeguardEvents = defineEvents('safeguard', {
  SafeguardSet: z.strictObject({ devicesPerHour }),
  DangerousActAllowed: z.strictObject({ approvalId, actorId, devices }),
  ApprovalRequested: z.strictObject({ approvalId, actorId, devices, operation, expiresAt: time }),
  ApprovalGranted: z.strictObject({ approvalId, actorId }),
  ApprovalRefused: z.strictObject({ approvalId, actorId, reason: line(500) }),
  ApprovalCarriedOut: z.strictObject({ approvalId }),
});

export type SafeguardEvent = EventOf<typeof safeguardEvents>;

/** What somebody did without approval, within the last hour. */
export interface Act {
  readonly approvalId: string;
  readonly actorId: string;
  readonly devices: number;
  readonly at: string;
}

export interface Approval {
  readonly status: 'open' | 'granted' | 'refused' | 'carried-out';
  readonly actorId: string;
  readonly devices: number;
  readonly operation: Operation;
  readonly expiresAt: string;
}

export interface SafeguardState {
  readonly devicesPerHour: number;
  readonly acts: readonly Act[];
  /** Those that can still be asked about; older ones are in the read model. */
  readonly approvals: Readonly<Record<string, Approval>>;
}

/** Of a tenant that never set it: enough for daily work, too little to lose a fleet. */
export const initialSafeguard: SafeguardState = { devicesPerHour: 10, acts: [], approvals: {} };

export const hourMs = 3_600_000;
/** Approvals are remembered this long after they ended, so that a repeated request finds them. */
const rememberedMs = 24 * hourMs;

const agoOf = (at: string, ms: number): string => new Date(Date.parse(at) - ms).toISOString();

/** Without what no decision at or after `at` can need. */
const forget = (state: SafeguardState, at: string): SafeguardState => {
  const hourAgo = agoOf(at, hourMs);
  const forgottenBefore = agoOf(at, rememberedMs);
  return {
    ...state,
    acts: state.acts.filter((act) => act.at > hourAgo),
    approvals: Object.fromEntries(
      Object.entries(state.approvals).filter(([, { expiresAt }]) => expiresAt > forgottenBefore),
    ),
  };
};

const withStatus = (state: SafeguardState, id: string, status: Approval['status']): SafeguardState => {
  const approval = state.approvals[id];
  return approval ? { ...state, approvals: { ...state.approvals, [id]: { ...approval, status } } } : state;
};

/** Folds one fact into the state. */
export const evolveSafeguard = (
  before: SafeguardState,
  { type, data, at }: Fact<SafeguardEvent>,
): SafeguardState => {
  const state = forget(before, at);
  switch (type) {
    case 'SafeguardSet':
      return { ...state, devicesPerHour: data.devicesPerHour };
    case 'DangerousActAllowed':
      return { ...state, acts: [...state.acts, { ...data, at }] };
    case 'ApprovalRequested': {
      const { approvalId: id, ...asked } = data;
      return { ...state, approvals: { ...state.approvals, [id]: { status: 'open', ...asked } } };
    }
    case 'ApprovalGranted':
      return withStatus(state, data.approvalId, 'granted');
    case 'ApprovalRefused':
      return withStatus(state, data.approvalId, 'refused');
    case 'ApprovalCarriedOut':
      return withStatus(state, data.approvalId, 'carried-out');
    default:
      return never(type);
  }
};
