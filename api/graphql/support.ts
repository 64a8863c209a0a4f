/**
 * Support access in GraphQL: granted by the tenant, used by operators. Listed in schema.ts.
 */
import { z } from 'zod';
import { tenantId } from '../../domain/ids.ts';
import { isRefusal } from '../../domain/refusals.ts';
import { tenantDecider } from '../../domain/tenant/decide.ts';
import { isoTime } from '../../platform/clock.ts';
import { type Entered, endSupport, enterTenant } from '../support.ts';
import { builder, RefusedError } from './builder.ts';
import { signedIn, signedInAccount } from './context.ts';
import { act, type Effect, EffectInterface, settle } from './effect.ts';
import { SupportLevel } from './enums.ts';
import { mutation } from './mutation.ts';
import { TenantPayload } from './tenant-type.ts';

const hourMs = 3_600_000;

mutation('grantSupportAccess', {
  description:
    'Lets operators enter the own tenant for some hours; a new grant takes the place of an earlier one.',
  permission: 'support.manage',
  type: TenantPayload,
  input: (t) => ({
    hours: t.int({ required: true, description: '1 to 72.' }).validate(z.int().min(1).max(72)),
    level: t.field({
      type: SupportLevel,
      required: true,
      defaultValue: 'read',
      description:
        '`READ` sees devices and what is configured; `CHANGE` administers, but for accounts and tokens.',
    }),
  }),
  run: async ({ hours, level }, context) => {
    const id = signedIn(context).tenantId;
    const until = isoTime(context.deps.clock() + hours * hourMs);
    const done = await act(context, tenantDecider, id, { type: 'GrantSupportAccess', level, until });
    return { id, ...(await settle(context, done)) };
  },
});

mutation('revokeSupportAccess', {
  description: 'Ends support access to the own tenant at once; operators in it are put out.',
  permission: 'support.manage',
  type: TenantPayload,
  run: async (_input, context) => {
    const id = signedIn(context).tenantId;
    const done = await act(context, tenantDecider, id, { type: 'RevokeSupportAccess' });
    await endSupport(context, id, context.requestId);
    return { id, ...(await settle(context, done)) };
  },
});

type EnteredPayload = Effect & Omit<Entered, 'position'>;

const EnteredType = builder.objectRef<EnteredPayload>('EnterTenantPayload').implement({
  interfaces: [EffectInterface],
  fields: (t) => ({
    token: t.exposeString('token', {
      description: 'Of a session within that tenant: `Authorization: Bearer <token>`. signOut leaves it.',
    }),
    level: t.expose('level', { type: SupportLevel }),
    until: t.expose('until', { type: 'DateTime', description: 'When it ends at the latest.' }),
  }),
});

mutation('enterTenant', {
  description: 'Enters a tenant that grants support access. Everything done there is in both audit trails.',
  permission: 'operator.support',
  type: EnteredType,
  input: (t) => ({ tenantId: t.id({ required: true }).validate(tenantId) }),
  run: async (input, context) => {
    const entered = await enterTenant(context, signedInAccount(context), input.tenantId, context.requestId);
    if (isRefusal(entered)) throw new RefusedError(entered);
    const { position: _, ...rest } = entered;
    return { ...rest, ...(await settle(context, entered)) };
  },
});
