/**
 * Handouts in GraphQL: enrolment codes for every member of a user group. Listed in schema.ts.
 */
import { z } from 'zod';
import { handoutDecider } from '../../domain/handout/decide.ts';
import { groupId, type HandoutId, userGroupId } from '../../domain/ids.ts';
import { isoTime } from '../../platform/clock.ts';
import { newId, newSecret } from '../../platform/new-id.ts';
import { handoutPurpose } from '../../platform/sealed-secrets.ts';
import { findHandout, type HandoutRow, listHandouts } from '../../projections/handouts.ts';
import { findUserGroup } from '../../projections/user-groups.ts';
import { builder } from './builder.ts';
import { connectionOf, pageArgs, pageOf } from './connection.ts';
import { signedIn } from './context.ts';
import { act, payloadOf, settle } from './effect.ts';
import { HandoutStatus, Ownership, Platform } from './enums.ts';
import { mutation } from './mutation.ts';
import { requireGroup, requireUserGroup } from './references.ts';
import { Handout, UserGroup } from './refs.ts';

builder.node(Handout, {
  description: 'Enrolment codes for the members of a user group.',
  id: { resolve: (handout) => handout.handoutId },
  fields: (t) => ({
    status: t.expose('status', { type: HandoutStatus }),
    issued: t.exposeInt('issued', { description: 'Codes made so far.' }),
    userGroup: t.field({
      type: UserGroup,
      nullable: true,
      resolve: async ({ userGroupId: id }, _args, context) =>
        (await findUserGroup(context.deps.sql, signedIn(context).tenantId, id)) ?? null,
    }),
    expiresAt: t.expose('expiresAt', { type: 'DateTime' }),
    requestedAt: t.expose('requestedAt', { type: 'DateTime' }),
    codesPath: t.string({
      description: 'Where the codes are downloaded, as long as they are valid.',
      resolve: ({ handoutId }) => `/admin/v1/handouts/${handoutId}/codes.csv`,
    }),
  }),
});

builder.queryField('handouts', (t) =>
  t.field({
    type: connectionOf('Handout', Handout),
    description: 'Handouts of enrolment codes, the newest first.',
    authScopes: { permission: 'enrolment.read' },
    args: pageArgs,
    resolve: (_root, args, context) =>
      listHandouts(context.deps.sql, signedIn(context).tenantId, pageOf(args)),
  }),
);

const hourMs = 3_600_000;

mutation('handOutEnrolments', {
  description: 'Makes an enrolment code for every active user who is in a user group now.',
  permission: 'enrolment.manage',
  type: payloadOf<HandoutId, HandoutRow>('Handout', 'handout', Handout, findHandout),
  input: (t) => ({
    userGroupId: t.id({ required: true }).validate(userGroupId),
    platform: t.field({ type: Platform, description: 'Without it any platform may use a code.' }),
    ownership: t.field({ type: Ownership, required: true, defaultValue: 'corporate' }),
    groupId: t.id({ description: 'The device group that devices join.' }).validate(groupId.nullish()),
    validHours: t.int({ required: true, defaultValue: 72 }).validate(z.int().min(1).max(2160)),
  }),
  run: async (input, context) => {
    await requireUserGroup(context, input.userGroupId);
    await requireGroup(context, input.groupId ?? null);
    const id = newId('hnd');
    const { tenantId } = signedIn(context);
    await context.credentials.secrets.put(tenantId, handoutPurpose(id), newSecret());
    const done = await act(context, handoutDecider, id, {
      type: 'RequestHandout',
      userGroupId: input.userGroupId,
      platform: input.platform ?? null,
      ownership: input.ownership,
      groupId: input.groupId ?? null,
      expiresAt: isoTime(context.deps.clock() + input.validHours * hourMs),
    });
    return { id, ...(await settle(context, done)) };
  },
});
