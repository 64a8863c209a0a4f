/**
 * The quarantine in GraphQL: devices that asked for mail and that nobody knows, and binding them to enrolled ones. Listed
 * in schema.ts; what may happen without an administrator is the tenant's choice (`unknownMailDevices`).
 */
import { deviceId, type MailSightingId, mailSightingId } from '../../domain/ids.ts';
import { mailSightingDecider } from '../../domain/mail-sighting/decide.ts';
import { isRefusal } from '../../domain/refusals.ts';
import { tenantDecider } from '../../domain/tenant/decide.ts';
import { bindMailDevice } from '../../platform/bind-mail-device.ts';
import { findDevice, listMailCandidates } from '../../projections/devices.ts';
import { mailVerdictsOfEasId } from '../../projections/mail.ts';
import {
  findMailSighting,
  listMailSightings,
  type MailSightingRow,
} from '../../projections/mail-sightings.ts';
import { builder, RefusedError } from './builder.ts';
import { connectionOf, pageArgs, pageOf } from './connection.ts';
import { signedIn } from './context.ts';
import { act, causeOf, payloadOf, settle, stateOf } from './effect.ts';
import { MailSightingStatus, UnknownMailDevices } from './enums.ts';
import { mutation } from './mutation.ts';
import { requireExisting } from './references.ts';
import { Device, MailSighting } from './refs.ts';
import { TenantPayload } from './tenant-type.ts';

builder.node(MailSighting, {
  description:
    'A device that nobody knows asked for mail with a password that the mail server took. What it says of itself is only that.',
  id: { resolve: (sighting) => sighting.sightingId },
  fields: (t) => ({
    status: t.expose('status', { type: MailSightingStatus }),
    easDeviceId: t.exposeString('easDeviceId', { description: 'The id that it presents in ActiveSync.' }),
    user: t.exposeString('user', { description: 'The name that was signed in with.' }),
    deviceType: t.exposeString('deviceType', { nullable: true }),
    userAgent: t.exposeString('userAgent', { nullable: true }),
    address: t.exposeString('address', { nullable: true }),
    firstSeenAt: t.expose('firstSeenAt', { type: 'DateTime' }),
    lastSeenAt: t.expose('lastSeenAt', { type: 'DateTime', description: 'To a day.' }),
    device: t.field({
      type: Device,
      nullable: true,
      description: 'The device that it was bound to last.',
      resolve: async ({ deviceId: id }, _args, { deps, ...context }) =>
        id === null ? null : ((await findDevice(deps.sql, signedIn(context).tenantId, id)) ?? null),
    }),
    candidates: t.field({
      type: [Device],
      description: 'Enrolled devices of the user that have no EAS id yet.',
      resolve: async ({ user }, _args, { deps, ...context }) => [
        ...(await listMailCandidates(deps.sql, signedIn(context).tenantId, user)),
      ],
    }),
  }),
});

builder.queryFields((t) => ({
  mailSightings: t.field({
    type: connectionOf('MailSighting', MailSighting),
    description: 'The quarantine: unknown devices that asked for mail, the last seen first.',
    authScopes: { permission: 'device.read' },
    args: { ...pageArgs, status: t.arg({ type: MailSightingStatus }) },
    resolve: (_root, { status, ...args }, context) =>
      listMailSightings(context.deps.sql, signedIn(context).tenantId, status ?? undefined, pageOf(args)),
  }),
  unknownMailDevices: t.field({
    type: UnknownMailDevices,
    description:
      'What becomes of unknown devices that ask for mail: refused alone, quarantined too, or bound where one of the user’s devices alone can be meant.',
    authScopes: { permission: 'proxy.read' },
    resolve: async (_root, _args, context) => {
      const state = await stateOf(context, tenantDecider, signedIn(context).tenantId);
      return state.status === 'none' ? 'refuse' : state.unknownMailDevices;
    },
  }),
}));

const SightingPayload = payloadOf<MailSightingId, MailSightingRow>(
  'MailSighting',
  'mailSighting',
  MailSighting,
  findMailSighting,
);

mutation('bindMailDevice', {
  description: 'Says which enrolled device a sighting is: from now on it has that device’s mail verdict.',
  permission: 'device.manage',
  type: SightingPayload,
  input: (t) => ({
    sightingId: t.id({ required: true }).validate(mailSightingId),
    deviceId: t.id({ required: true }).validate(deviceId),
  }),
  run: async ({ sightingId: id, deviceId: device }, context) => {
    const { handler, sql } = context.deps;
    const { tenantId } = signedIn(context);
    const seen = await requireExisting(
      context,
      mailSightingDecider,
      id,
      'mail-sighting-missing',
      'sightingId',
    );
    const { easDeviceId } = seen as Exclude<typeof seen, { status: 'none' }>;
    const holders = (await mailVerdictsOfEasId(sql, tenantId, easDeviceId)).map((row) => row.deviceId);
    const binding = { tenantId, sightingId: id, deviceId: device, holders, automatically: false };
    const done = await bindMailDevice(handler, binding, causeOf(context));
    if (isRefusal(done)) throw new RefusedError(done);
    return { id, ...(await settle(context, done)) };
  },
});

mutation('dismissMailSighting', {
  description: 'Takes a sighting out of the quarantine; the device stays refused. It can still be bound.',
  permission: 'device.manage',
  type: SightingPayload,
  input: (t) => ({ sightingId: t.id({ required: true }).validate(mailSightingId) }),
  run: async ({ sightingId: id }, context) => {
    await requireExisting(context, mailSightingDecider, id, 'mail-sighting-missing', 'sightingId');
    const done = await act(context, mailSightingDecider, id, { type: 'DismissMailSighting' });
    return { id, ...(await settle(context, done)) };
  },
});

mutation('chooseUnknownMailDevices', {
  description: 'Chooses what becomes of unknown devices that ask for mail with a good password.',
  permission: 'proxy.manage',
  type: TenantPayload,
  input: (t) => ({ unknownMailDevices: t.field({ type: UnknownMailDevices, required: true }) }),
  run: async ({ unknownMailDevices }, context) => {
    const { tenantId: id } = signedIn(context);
    const command = { type: 'ChooseUnknownMailDevices', unknownMailDevices } as const;
    const done = await act(context, tenantDecider, id, command);
    return { id, ...(await settle(context, done)) };
  },
});
