/**
 * Enrolments in GraphQL: codes with which devices join. Listed in schema.ts.
 */
import { z } from 'zod';
import { enrolmentDecider } from '../../domain/enrolment/decide.ts';
import { deviceId, type EnrolmentId, enrolmentId, groupId } from '../../domain/ids.ts';
import { refuse } from '../../domain/refusals.ts';
import { email } from '../../domain/text.ts';
import { isoTime } from '../../platform/clock.ts';
import { canonicalCode, hashSecret, newCode, newId } from '../../platform/new-id.ts';
import { findDevice } from '../../projections/devices.ts';
import { type EnrolmentRow, findEnrolment, listEnrolments } from '../../projections/enrolments.ts';
import { findGroup } from '../../projections/groups.ts';
import { builder } from './builder.ts';
import { connectionOf, pageArgs, pageOf } from './connection.ts';
import { type ApiContext, signedIn } from './context.ts';
import { act, type Changed, EffectInterface, payloadOf, refuseIf, settle } from './effect.ts';
import { EnrolmentStatus, Ownership, Platform } from './enums.ts';
import { mutation } from './mutation.ts';
import { requireAbleToBegin, requireDevice, requireExisting, requireGroup } from './references.ts';
import { Device, DeviceGroup, Enrolment } from './refs.ts';

builder.node(Enrolment, {
  description: 'A one-time code with which one device joins the tenant.',
  id: { resolve: (enrolment) => enrolment.enrolmentId },
  fields: (t) => ({
    status: t.field({
      type: EnrolmentStatus,
      resolve: ({ status, expiresAt }, _args, { deps }) =>
        status === 'open' && expiresAt <= isoTime(deps.clock()) ? 'expired' : status,
    }),
    device: t.field({
      type: Device,
      nullable: true,
      description: 'The registered device to enrol, or once used the device that enrolled.',
      resolve: async ({ deviceId: id }, _args, context) =>
        id === null ? null : ((await findDevice(context.deps.sql, signedIn(context).tenantId, id)) ?? null),
    }),
    userEmail: t.exposeString('userEmail', { nullable: true }),
    platform: t.expose('platform', {
      type: Platform,
      nullable: true,
      description: 'Null: any platform may use the code.',
    }),
    ownership: t.expose('ownership', { type: Ownership }),
    group: t.field({
      type: DeviceGroup,
      nullable: true,
      resolve: async ({ groupId: id }, _args, context) =>
        id === null ? null : ((await findGroup(context.deps.sql, signedIn(context).tenantId, id)) ?? null),
    }),
    expiresAt: t.expose('expiresAt', { type: 'DateTime' }),
    createdAt: t.expose('createdAt', { type: 'DateTime' }),
  }),
});

builder.queryField('enrolments', (t) =>
  t.field({
    type: connectionOf('Enrolment', Enrolment),
    description: 'Enrolments, the newest first.',
    authScopes: { permission: 'enrolment.read' },
    args: pageArgs,
    resolve: (_root, args, context) =>
      listEnrolments(context.deps.sql, signedIn(context).tenantId, pageOf(args)),
  }),
);

interface Created extends Changed<EnrolmentId> {
  readonly code: string;
  readonly expiresAt: string;
}

const CreatedPayload = builder.objectRef<Created>('CreateEnrolmentPayload').implement({
  interfaces: [EffectInterface],
  fields: (t) => ({
    code: t.exposeString('code', { description: 'Shown this once: only a digest of it is kept.' }),
    expiresAt: t.expose('expiresAt', { type: 'DateTime' }),
    enrolment: t.field({
      type: Enrolment,
      nullable: true,
      resolve: async ({ id }, _args, context) =>
        (await findEnrolment(context.deps.sql, signedIn(context).tenantId, id)) ?? null,
    }),
  }),
});

/** Refuses a registered device that cannot be enrolled with a new code. */
const requireEnrollable = async (
  context: ApiContext,
  id: z.infer<typeof deviceId>,
  platform: EnrolmentRow['platform'],
): Promise<void> => {
  const device = await requireDevice(context, id);
  if (device.status === 'enrolled') refuseIf(refuse('device-already-enrolled', { field: 'deviceId' }));
  if (platform !== null && device.platform !== platform)
    refuseIf(
      refuse('platform-mismatch', {
        field: 'platform',
        detail: `the device is registered as ${device.platform}`,
      }),
    );
};

const hourMs = 3_600_000;

mutation('createEnrolment', {
  description: 'Makes a code with which one device joins: a new one, or the registered one that is named.',
  permission: 'enrolment.manage',
  type: CreatedPayload,
  input: (t) => ({
    deviceId: t.id({ description: 'A registered device.' }).validate(deviceId.nullish()),
    userEmail: t.string({ description: 'The person who will hold it.' }).validate(email.nullish()),
    platform: t.field({ type: Platform, description: 'Without it any platform may use the code.' }),
    ownership: t.field({ type: Ownership, required: true, defaultValue: 'corporate' }),
    groupId: t.id().validate(groupId.nullish()),
    validHours: t.int({ required: true, defaultValue: 72 }).validate(z.int().min(1).max(2160)),
  }),
  run: async (input, context) => {
    const platform = input.platform ?? null;
    await requireAbleToBegin(context, platform);
    if (input.deviceId) await requireEnrollable(context, input.deviceId, platform);
    await requireGroup(context, input.groupId ?? null);
    const id = newId('enr');
    const code = newCode();
    const expiresAt = isoTime(context.deps.clock() + input.validHours * hourMs);
    const done = await act(context, enrolmentDecider, id, {
      type: 'CreateEnrolment',
      codeHash: hashSecret(canonicalCode(code)),
      deviceId: input.deviceId ?? null,
      userEmail: input.userEmail ?? null,
      platform,
      ownership: input.ownership,
      groupId: input.groupId ?? null,
      expiresAt,
    });
    return { id, code, expiresAt, ...(await settle(context, done)) };
  },
});

mutation('revokeEnrolment', {
  description: 'Makes a code useless that was not used.',
  permission: 'enrolment.manage',
  type: payloadOf<EnrolmentId, EnrolmentRow>('Enrolment', 'enrolment', Enrolment, findEnrolment),
  input: (t) => ({ enrolmentId: t.id({ required: true }).validate(enrolmentId) }),
  run: async (input, context) => {
    const id = input.enrolmentId;
    await requireExisting(context, enrolmentDecider, id, 'enrolment-missing', 'enrolmentId');
    const done = await act(context, enrolmentDecider, id, { type: 'RevokeEnrolment' });
    return { id, ...(await settle(context, done)) };
  },
});
