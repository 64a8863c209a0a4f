/**
 * The licence and the seats of tenants in GraphQL. Listed in schema.ts.
 */
import { z } from 'zod';
import { type TenantId, tenantId } from '../../domain/ids.ts';
import { licenceDecider } from '../../domain/licence/decide.ts';
import { allotmentOf, validityAt } from '../../domain/licence/entitlement.ts';
import { type Grant, seatCount } from '../../domain/licence/licence.ts';
import { isRefusal } from '../../domain/refusals.ts';
import { email } from '../../domain/text.ts';
import { isoTime } from '../../platform/clock.ts';
import { MusterError } from '../../platform/errors.ts';
import { theLicence, verifyLicenceKey } from '../../platform/licence.ts';
import {
  findLicence,
  findSeatUse,
  type LicenceRow,
  listSeatUses,
  type SeatUseRow,
} from '../../projections/licence.ts';
import { builder, RefusedError } from './builder.ts';
import { connectionOf, pageArgs, pageOf } from './connection.ts';
import { type ApiContext, signedIn } from './context.ts';
import { act, type Changed, type Effect, EffectInterface, settle } from './effect.ts';
import { licenceOf } from './entitlements.ts';
import { Edition, LicenceKind, LicenceValidity } from './enums.ts';
import { mutation } from './mutation.ts';
import { Tenant } from './refs.ts';
import { requireCustomer } from './tenant.ts';
import { visibleTenant } from './tenant-type.ts';

/** A licence that is in force. */
type Granted = LicenceRow & { readonly grant: Grant };

const nowOf = ({ deps }: ApiContext): string => isoTime(deps.clock());

const Licence = builder.objectRef<Granted>('Licence').implement({
  description: 'What the installation may use: the trial, or the licence key that was activated last.',
  fields: (t) => ({
    installationId: t.exposeString('installationId', { description: 'What licence keys are issued for.' }),
    kind: t.field({ type: LicenceKind, resolve: ({ grant }) => grant.kind }),
    state: t.field({
      type: LicenceValidity,
      description:
        '`EXPIRING` from 30 days before the end. `EXPIRED` stops new enrolments and tasks, and nothing else.',
      resolve: ({ grant }, _args, context) => validityAt(grant, nowOf(context)).state,
    }),
    daysLeft: t.int({ resolve: ({ grant }, _args, context) => validityAt(grant, nowOf(context)).daysLeft }),
    expiresAt: t.field({ type: 'DateTime', resolve: ({ grant }) => grant.expiresAt }),
    edition: t.field({ type: Edition, resolve: ({ grant }) => grant.edition }),
    seats: t.int({ resolve: ({ grant }) => grant.seats }),
    allotted: t.exposeInt('allotted', { description: 'Seats allotted to tenants, in sum.' }),
    registrationEmail: t.exposeString('registrationEmail', {
      nullable: true,
      description: 'Of the trial. Null: the trial cannot be used before registerTrial.',
    }),
    licensee: t.string({ nullable: true, resolve: ({ grant }) => grant.key?.licensee ?? null }),
    keyId: t.string({ nullable: true, resolve: ({ grant }) => grant.key?.keyId ?? null }),
    issuedAt: t.field({
      type: 'DateTime',
      nullable: true,
      resolve: ({ grant }) => grant.key?.issuedAt ?? null,
    }),
  }),
});

const readLicence = async ({ deps }: ApiContext): Promise<Granted> => {
  const found = await findLicence(deps.sql);
  if (!found?.grant) throw new MusterError('too-busy', 'the licence cannot be read yet');
  return { ...found, grant: found.grant };
};

const SeatUse = builder.objectRef<SeatUseRow>('SeatUse').implement({
  description: 'A tenant’s seats. A user with devices takes one, and so does each device without a user.',
  fields: (t) => ({
    tenant: t.field({
      type: Tenant,
      nullable: true,
      resolve: async ({ tenantId: id }, _args, context) => (await visibleTenant(context, id)) ?? null,
    }),
    allotted: t.exposeInt('allotted'),
    taken: t.exposeInt('taken', {
      description: 'Seats in use. Above `allotted` only after that was reduced.',
    }),
    edition: t.field({
      type: Edition,
      description: 'In force: never above the edition of the licence.',
      resolve: async ({ tenantId: id }, _args, context) => allotmentOf(await licenceOf(context), id).edition,
    }),
  }),
});

builder.queryField('licence', (t) =>
  t.field({
    type: Licence,
    description: 'The licence of the installation.',
    authScopes: { permission: 'operator.licence' },
    resolve: (_root, _args, context) => readLicence(context),
  }),
);

builder.queryField('seatUse', (t) =>
  t.field({
    type: SeatUse,
    description: 'The seats of the own tenant.',
    authScopes: { permission: 'tenant.read' },
    resolve: (_root, _args, context) => findSeatUse(context.deps.sql, signedIn(context).tenantId),
  }),
);

builder.queryField('seatUses', (t) =>
  t.field({
    type: connectionOf('SeatUse', SeatUse),
    description: 'The seats of every tenant that was allotted any, the oldest tenant first.',
    authScopes: { permission: 'operator.licence' },
    args: pageArgs,
    resolve: (_root, args, context) => listSeatUses(context.deps.sql, pageOf(args)),
  }),
);

const LicencePayload = builder.objectRef<Effect>('LicencePayload').implement({
  interfaces: [EffectInterface],
  fields: (t) => ({
    licence: t.field({ type: Licence, resolve: (_effect, _args, context) => readLicence(context) }),
  }),
});

const SeatUsePayload = builder.objectRef<Changed<TenantId>>('SeatUsePayload').implement({
  interfaces: [EffectInterface],
  fields: (t) => ({
    seatUse: t.field({
      type: SeatUse,
      resolve: ({ id }, _args, context) => findSeatUse(context.deps.sql, id),
    }),
  }),
});

mutation('registerTrial', {
  description: 'Names who the trial is registered to, before which it cannot be used.',
  permission: 'operator.licence',
  type: LicencePayload,
  input: (t) => ({ email: t.string({ required: true }).validate(email) }),
  run: async (input, context) => {
    const { id, tenantId: owner } = theLicence;
    const command = { type: 'RegisterTrial' as const, email: input.email };
    return settle(context, await act(context, licenceDecider, id, command, owner));
  },
});

mutation('activateLicence', {
  description: 'Puts a licence key into force, in place of the trial or the present key.',
  permission: 'operator.licence',
  type: LicencePayload,
  input: (t) => ({
    key: t.string({ required: true, description: 'As issued.' }).validate(z.string().min(1).max(5000)),
  }),
  run: async (input, context) => {
    const claims = await verifyLicenceKey(input.key, context.issuers);
    if (isRefusal(claims)) throw new RefusedError(claims);
    const { id, tenantId: owner } = theLicence;
    const activate = (now: string) => ({ type: 'ActivateLicence' as const, now, claims });
    return settle(context, await act(context, licenceDecider, id, activate, owner));
  },
});

mutation('allotSeats', {
  description:
    'Gives a tenant seats of the licence, in place of those it had. Fewer than are in use take nothing away: no further user or unassigned device is enrolled.',
  permission: 'operator.licence',
  type: SeatUsePayload,
  input: (t) => ({
    tenantId: t.id({ required: true }).validate(tenantId),
    seats: t.int({ required: true }).validate(seatCount),
    edition: t.field({ type: Edition, required: true, defaultValue: 'standard' }),
  }),
  run: async (input, context) => {
    await requireCustomer(context, input.tenantId);
    const { id, tenantId: owner } = theLicence;
    const command = { type: 'AllotSeats' as const, ...input };
    return {
      id: input.tenantId,
      ...(await settle(context, await act(context, licenceDecider, id, command, owner))),
    };
  },
});
