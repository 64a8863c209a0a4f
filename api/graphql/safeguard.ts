/**
 * The safeguard in GraphQL: asks before many devices are wiped or unenrolled, and how many that is. Listed in
 * schema.ts; what waits for approval is in approval.ts.
 */
import { refuse } from '../../domain/refusals.ts';
import { safeguardDecider } from '../../domain/safeguard/decide.ts';
import { devicesPerHour, type Operation, type SafeguardState } from '../../domain/safeguard/safeguard.ts';
import { newId } from '../../platform/new-id.ts';
import { countDevices, countUserGroupDevices } from '../../projections/devices.ts';
import { actorOf } from '../credentials.ts';
import { builder, RefusedError } from './builder.ts';
import { type ApiContext, signedIn } from './context.ts';
import { act, type Effect, EffectInterface, settle, stateOf } from './effect.ts';
import { mutation } from './mutation.ts';

/**
 * Goes on when the caller may do this to so many devices at once; else refuses `approval-required`, and what was asked
 * for waits for a second administrator.
 */
export const guardDevices = async (
  context: ApiContext,
  operation: Operation,
  devices: number,
): Promise<void> => {
  const credential = signedIn(context);
  const approvalId = newId('apr');
  const asked = await act(context, safeguardDecider, credential.tenantId, (now) => ({
    type: 'AskDangerousAct' as const,
    approvalId,
    actorId: actorOf(credential).id,
    devices,
    operation,
    now,
  }));
  const approval = asked.state.approvals[approvalId];
  if (!approval) return;
  // Whoever is told to have it approved can show it to somebody at once.
  await settle(context, asked);
  throw new RefusedError(
    refuse('approval-required', {
      detail: `${approvalId} waits until ${approval.expiresAt}; ${devices} devices, at most ${asked.state.devicesPerHour} an hour without approval`,
    }),
  );
};

/** Devices that a transfer reaches now. */
export const devicesOf = async (
  context: ApiContext,
  { target }: Extract<Operation, { kind: 'transfer-task-bundle' }>,
): Promise<number> => {
  if (target.kind === 'device') return 1;
  const { tenantId } = signedIn(context);
  if (target.kind === 'user-group')
    return countUserGroupDevices(context.deps.sql, tenantId, target.userGroupId);
  const { total, byStatus } = await countDevices(context.deps.sql, tenantId, { groupId: target.groupId });
  return total - byStatus.unenrolled;
};

const Safeguard = builder.objectRef<SafeguardState>('Safeguard').implement({
  description: 'How much one person may do to devices alone.',
  fields: (t) => ({
    devicesPerHour: t.exposeInt('devicesPerHour', {
      description:
        'Devices that one account or API key may wipe or unenrol within an hour without an approval.',
    }),
  }),
});

builder.queryField('safeguard', (t) =>
  t.field({
    type: Safeguard,
    description: 'The safeguard of the tenant.',
    authScopes: { permission: 'tenant.read' },
    resolve: (_root, _args, context) => stateOf(context, safeguardDecider, signedIn(context).tenantId),
  }),
);

const Payload = builder
  .objectRef<Effect & { readonly safeguard: SafeguardState }>('SafeguardPayload')
  .implement({
    interfaces: [EffectInterface],
    fields: (t) => ({ safeguard: t.expose('safeguard', { type: Safeguard }) }),
  });

/** Sets the limit; called again by approval.ts once raising it was approved. */
export const setSafeguard = async (context: ApiContext, limit: number) => {
  const { tenantId } = signedIn(context);
  const done = await act(context, safeguardDecider, tenantId, {
    type: 'SetSafeguard',
    devicesPerHour: limit,
  });
  return { safeguard: done.state, ...(await settle(context, done)) };
};

mutation('setSafeguard', {
  description:
    'Changes how many devices one person may wipe or unenrol in an hour. Raising it needs an approval.',
  permission: 'tenant.manage',
  type: Payload,
  input: (t) => ({ devicesPerHour: t.int({ required: true }).validate(devicesPerHour) }),
  run: async ({ devicesPerHour: limit }, context) => {
    await guardDevices(context, { kind: 'set-safeguard', devicesPerHour: limit }, 0);
    return setSafeguard(context, limit);
  },
});
