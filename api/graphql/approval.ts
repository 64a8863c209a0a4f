/**
 * Approvals in GraphQL: a second administrator decides, and what was asked for is carried out. Listed in schema.ts.
 */
import { accountDecider } from '../../domain/account/decide.ts';
import { type ApprovalId, approvalId } from '../../domain/ids.ts';
import { refuse } from '../../domain/refusals.ts';
import { safeguardDecider } from '../../domain/safeguard/decide.ts';
import type { Operation } from '../../domain/safeguard/safeguard.ts';
import { taskBundleDecider } from '../../domain/task-bundle/decide.ts';
import { line } from '../../domain/text.ts';
import { type ApprovalRow, findApproval, listApprovals } from '../../projections/approvals.ts';
import { ActorType } from './actor.ts';
import { builder, RefusedError } from './builder.ts';
import { connectionOf, pageArgs, pageOf } from './connection.ts';
import { type ApiContext, signedIn, signedInAccount } from './context.ts';
import { queueTask, transferTaskBundle, unenrolDevice } from './device-acts.ts';
import { act, payloadOf, settle, stateOf } from './effect.ts';
import { ApprovalStatus } from './enums.ts';
import { mutation } from './mutation.ts';
import { Approval } from './refs.ts';
import { devicesOf, setSafeguard } from './safeguard.ts';

builder.node(Approval, {
  description: 'Something that concerns so many devices that a second administrator must approve it.',
  id: { resolve: (approval) => approval.approvalId },
  fields: (t) => ({
    status: t.expose('status', { type: ApprovalStatus }),
    devices: t.exposeInt('devices', { description: 'Devices it concerned when it was asked for.' }),
    operation: t.expose('operation', { type: 'JSON', description: 'What was asked for, by its `kind`.' }),
    requestedBy: t.expose('requestedBy', { type: ActorType }),
    requestedAt: t.expose('requestedAt', { type: 'DateTime' }),
    expiresAt: t.expose('expiresAt', {
      type: 'DateTime',
      description: 'It can be decided until then.',
    }),
    decidedBy: t.expose('decidedBy', { type: ActorType, nullable: true }),
    decidedAt: t.expose('decidedAt', { type: 'DateTime', nullable: true }),
    reason: t.exposeString('reason', { nullable: true, description: 'Why it was refused.' }),
  }),
});

builder.queryField('approvals', (t) =>
  t.field({
    type: connectionOf('Approval', Approval),
    description: 'What was asked for, the newest first.',
    authScopes: { permission: 'approval.read' },
    args: { ...pageArgs, status: t.arg({ type: ApprovalStatus }) },
    resolve: (_root, args, context) =>
      listApprovals(context.deps.sql, signedIn(context).tenantId, args.status ?? undefined, pageOf(args)),
  }),
);

const Payload = payloadOf<ApprovalId, ApprovalRow>('Approval', 'approval', Approval, findApproval);

/** Refuses a transfer that is no longer what was approved: another version of the bundle, or a larger group. */
const requireUnchanged = async (
  context: ApiContext,
  operation: Extract<Operation, { kind: 'transfer-task-bundle' }>,
  approved: number,
): Promise<void> => {
  const bundle = await stateOf(context, taskBundleDecider, operation.taskBundleId);
  if (bundle.status !== 'none' && bundle.version !== operation.version)
    throw new RefusedError(refuse('version-conflict', { detail: 'the task bundle was revised: ask again' }));
  const devices = await devicesOf(context, operation);
  if (devices > approved)
    throw new RefusedError(
      refuse('version-conflict', {
        detail: `the group has ${devices} devices now, not ${approved}: ask again`,
      }),
    );
};

/** Does what was approved. */
const carryOut = async (context: ApiContext, operation: Operation, devices: number): Promise<void> => {
  switch (operation.kind) {
    case 'queue-task':
      await queueTask(context, operation.deviceId, operation.task);
      return;
    case 'unenrol-device':
      await unenrolDevice(context, operation.deviceId);
      return;
    case 'transfer-task-bundle': {
      await requireUnchanged(context, operation, devices);
      await transferTaskBundle(context, operation.taskBundleId, operation.target);
      return;
    }
    case 'set-safeguard':
      await setSafeguard(context, operation.devicesPerHour);
  }
};

mutation('approve', {
  description:
    'Approves what somebody else asked for and carries it out. Called again, it carries out what was approved and not done yet.',
  permission: 'approval.decide',
  type: Payload,
  input: (t) => ({ approvalId: t.id({ required: true }).validate(approvalId) }),
  run: async ({ approvalId: id }, context) => {
    const { tenantId, accountId } = signedInAccount(context);
    const account = await stateOf(context, accountDecider, accountId);
    const trustedSince = account.status === 'none' ? '9999' : account.trustedSince;
    const granted = await act(context, safeguardDecider, tenantId, (now) => ({
      type: 'GrantApproval' as const,
      approvalId: id,
      actorId: accountId,
      trustedSince,
      now,
    }));
    const approval = granted.state.approvals[id];
    if (!approval) throw new RefusedError(refuse('approval-missing', { field: 'approvalId' }));
    await carryOut(context, approval.operation, approval.devices);
    const done = await act(context, safeguardDecider, tenantId, {
      type: 'RecordCarriedOut',
      approvalId: id,
    });
    return { id, ...(await settle(context, granted, done)) };
  },
});

mutation('refuseApproval', {
  description: 'Refuses what somebody asked for, or takes the own request back.',
  permission: 'approval.decide',
  type: Payload,
  input: (t) => ({
    approvalId: t.id({ required: true }).validate(approvalId),
    reason: t.string({ required: true }).validate(line(500)),
  }),
  run: async ({ approvalId: id, reason }, context) => {
    const { tenantId, accountId } = signedInAccount(context);
    const done = await act(context, safeguardDecider, tenantId, {
      type: 'RefuseApproval',
      approvalId: id,
      actorId: accountId,
      reason,
    });
    return { id, ...(await settle(context, done)) };
  },
});
