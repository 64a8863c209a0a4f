/**
 * Users of the tenant in GraphQL: people who hold devices. Listed in schema.ts.
 */
import { deviceDecider } from '../../domain/device/decide.ts';
import { type DeviceId, deviceId, type UserId, userId } from '../../domain/ids.ts';
import { email, line, name } from '../../domain/text.ts';
import { userDecider } from '../../domain/user/decide.ts';
import { userGroupDecider } from '../../domain/user-group/decide.ts';
import { newId } from '../../platform/new-id.ts';
import { release, reserve } from '../../platform/reservation.ts';
import { type DeviceRow, findDevice, listUserDevices } from '../../projections/devices.ts';
import { maximumPage } from '../../projections/page.ts';
import { listGroupsOfUser } from '../../projections/user-groups.ts';
import { findUser, listUsers, type UserRow } from '../../projections/users.ts';
import { searchText } from './app.ts';
import { builder } from './builder.ts';
import { connectionOf, pageArgs, pageOf } from './connection.ts';
import { type ApiContext, signedIn } from './context.ts';
import { DeviceConnection } from './device-type.ts';
import { act, causeOf, payloadOf, refuseIf, settle } from './effect.ts';
import { UserSourceKind, UserStatus } from './enums.ts';
import { mutation } from './mutation.ts';
import { requireDevice, requireUser } from './references.ts';
import { Device, User } from './refs.ts';
import { UserGroupConnection } from './user-group-type.ts';

builder.node(User, {
  description: 'A person who holds devices.',
  id: { resolve: (user) => user.userId },
  fields: (t) => ({
    email: t.exposeString('email', { description: 'Never changes: devices name their user by it.' }),
    name: t.exposeString('name'),
    externalId: t.exposeString('externalId', { nullable: true }),
    department: t.exposeString('department', { nullable: true }),
    phone: t.exposeString('phone', { nullable: true }),
    source: t.field({ type: UserSourceKind, resolve: ({ source }) => source.kind }),
    directoryDn: t.string({
      nullable: true,
      description: 'Where the user is in the directory.',
      resolve: ({ source }) => (source.kind === 'ldap' ? source.dn : null),
    }),
    status: t.expose('status', { type: UserStatus }),
    deviceCount: t.exposeInt('deviceCount', { description: 'Without those that were unenrolled.' }),
    devices: t.field({
      type: DeviceConnection,
      description: 'By name, without those that were unenrolled.',
      args: pageArgs,
      resolve: ({ email }, args, context) =>
        listUserDevices(context.deps.sql, signedIn(context).tenantId, email, pageOf(args)),
    }),
    groups: t.field({
      type: UserGroupConnection,
      description: 'By name.',
      args: pageArgs,
      resolve: (user, args, context) =>
        listGroupsOfUser(context.deps.sql, signedIn(context).tenantId, user.userId, pageOf(args)),
    }),
    createdAt: t.expose('createdAt', { type: 'DateTime' }),
  }),
});

builder.queryField('users', (t) =>
  t.field({
    type: connectionOf('User', User),
    description: 'Users by name.',
    authScopes: { permission: 'user.read' },
    args: {
      ...pageArgs,
      status: t.arg({ type: UserStatus }),
      search: t.arg
        .string({ description: 'Start of the name, of the address, or of the external id.' })
        .validate(searchText.nullish()),
    },
    resolve: (_root, { status, search, ...page }, context) =>
      listUsers(
        context.deps.sql,
        signedIn(context).tenantId,
        { status: status ?? undefined, search: search ?? undefined },
        pageOf(page),
      ),
  }),
);

const Payload = payloadOf<UserId, UserRow>('User', 'user', User, findUser);

mutation('createUser', {
  description: 'Creates a user; the e-mail is unique in the tenant.',
  permission: 'user.manage',
  type: Payload,
  input: (t) => ({
    email: t.string({ required: true }).validate(email),
    name: t.string({ required: true }).validate(name),
    externalId: t.string().validate(line(128).nullish()),
    department: t.string().validate(line(120).nullish()),
    phone: t.string().validate(line(40).nullish()),
  }),
  run: async (input, context) => {
    const { tenantId } = signedIn(context);
    const id = newId('usr');
    const unique = { kind: 'user-email', value: input.email, tenantId } as const;
    refuseIf(await reserve(context.deps.handler, unique, id, causeOf(context)));
    const done = await act(context, userDecider, id, {
      type: 'CreateUser',
      email: input.email,
      name: input.name,
      externalId: input.externalId ?? null,
      department: input.department ?? null,
      phone: input.phone ?? null,
      source: { kind: 'internal' },
    });
    return { id, ...(await settle(context, done)) };
  },
});

mutation('changeUser', {
  description: 'Changes what is known about a user: what is left out stays, null clears.',
  permission: 'user.manage',
  type: Payload,
  input: (t) => ({
    userId: t.id({ required: true }).validate(userId),
    name: t.string().validate(name.nullish()),
    externalId: t.string().validate(line(128).nullish()),
    department: t.string().validate(line(120).nullish()),
    phone: t.string().validate(line(40).nullish()),
  }),
  run: async (input, context) => {
    const { userId: id, name, ...rest } = input;
    const changes = Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== undefined));
    const done = await act(context, userDecider, id, {
      type: 'ChangeUserDetails',
      changes: { ...changes, ...(name ? { name } : {}) },
    });
    return { id, ...(await settle(context, done)) };
  },
});

mutation('disableUser', {
  description: 'Keeps a user out of the self-service portal; sessions there end. Devices stay as they are.',
  permission: 'user.manage',
  type: Payload,
  input: (t) => ({
    userId: t.id({ required: true }).validate(userId),
    reason: t.string().validate(line(200).nullish()),
  }),
  run: async (input, context) => {
    const id = input.userId;
    const done = await act(context, userDecider, id, {
      type: 'DisableUser',
      reason: input.reason ?? null,
    });
    await context.credentials.portalSessions.endAll(signedIn(context).tenantId, id);
    return { id, ...(await settle(context, done)) };
  },
});

mutation('enableUser', {
  description: 'Lets a disabled user in again.',
  permission: 'user.manage',
  type: Payload,
  input: (t) => ({ userId: t.id({ required: true }).validate(userId) }),
  run: async (input, context) => {
    const done = await act(context, userDecider, input.userId, { type: 'EnableUser' });
    return { id: input.userId, ...(await settle(context, done)) };
  },
});

/** Takes every device off a user, and answers what was done. */
const takeDevices = async (context: ApiContext, devices: readonly DeviceRow[]) => {
  const done: { position: bigint | undefined }[] = [];
  for (const { deviceId } of devices)
    done.push(await act(context, deviceDecider, deviceId, { type: 'AssignDeviceUser', userEmail: null }));
  return done;
};

mutation('removeUser', {
  description:
    'Removes a user. One with devices is refused, unless `force` takes the devices off first: they stay enrolled, without a user, and a proxy that goes by users denies their mail.',
  permission: 'user.manage',
  type: Payload,
  input: (t) => ({
    userId: t.id({ required: true }).validate(userId),
    force: t.boolean({ required: true, defaultValue: false }),
  }),
  run: async (input, context) => {
    const id = input.userId;
    const { tenantId } = signedIn(context);
    const { handler, sql } = context.deps;
    const { email: address } = await requireUser(context, id);
    const page = { first: maximumPage };
    const { rows, hasNextPage } = await listUserDevices(sql, tenantId, address, page);
    const taken = input.force ? await takeDevices(context, rows) : [];
    const devices = input.force && !hasNextPage ? 0 : rows.length;
    const removed = await act(context, userDecider, id, { type: 'RemoveUser', devices });
    const groups = await listGroupsOfUser(sql, tenantId, id, page);
    const left = [];
    for (const { userGroupId } of groups.rows)
      left.push(
        await act(context, userGroupDecider, userGroupId, { type: 'RemoveUsersFromGroup', userIds: [id] }),
      );
    await release(handler, { kind: 'user-email', value: address, tenantId }, id, causeOf(context));
    await context.credentials.portalSessions.endAll(tenantId, id);
    return { id, ...(await settle(context, ...taken, removed, ...left)) };
  },
});

mutation('assignDeviceUser', {
  description: 'Gives a device to a user of the tenant, or without one takes it off its user.',
  permission: 'device.manage',
  type: payloadOf<DeviceId, DeviceRow>('DeviceUser', 'device', Device, findDevice),
  input: (t) => ({
    deviceId: t.id({ required: true }).validate(deviceId),
    userId: t.id().validate(userId.nullish()),
  }),
  run: async (input, context) => {
    const id = input.deviceId;
    await requireDevice(context, id);
    const holder = input.userId ? await requireUser(context, input.userId) : null;
    const done = await act(context, deviceDecider, id, {
      type: 'AssignDeviceUser',
      userEmail: holder?.email ?? null,
    });
    return { id, ...(await settle(context, done)) };
  },
});
