/**
 * The audit trail in GraphQL: every event of the tenant, without secrets. Listed in schema.ts.
 */
import { catalogues } from '../../domain/events.ts';
import { time } from '../../domain/text.ts';
import { listAudit } from '../../projections/audit.ts';
import { ActorType } from './actor.ts';
import { mayShowApps, searchText } from './app.ts';
import { builder } from './builder.ts';
import { connectionOf, pageArgs, pageOf } from './connection.ts';
import { signedIn } from './context.ts';
import { AuditEntry } from './refs.ts';

AuditEntry.implement({
  description: 'One event of the tenant.',
  fields: (t) => ({
    position: t.string({ description: 'Place in the log.', resolve: ({ position }) => position.toString() }),
    at: t.expose('at', { type: 'DateTime' }),
    actor: t.expose('actor', { type: ActorType }),
    category: t.exposeString('category', { description: 'Kind of what it happened to.' }),
    entityId: t.exposeString('entityId'),
    type: t.exposeString('type', { description: 'See docs/reference/events.md.' }),
    correlationId: t.exposeString('correlationId', {
      description: 'Ties together all events that one request led to.',
    }),
    data: t.field({
      type: 'JSON',
      description: 'Without apps while the privacy of the tenant hides those of personal devices.',
      resolve: async ({ type, data }, _args, context) =>
        type !== 'DeviceAppsChanged' || (await mayShowApps(context, 'personal')) ? data : {},
    }),
  }),
});

export const AuditConnection = connectionOf('AuditEntry', AuditEntry);

builder.queryField('audit', (t) =>
  t.field({
    type: AuditConnection,
    description: 'The tenant’s history, the latest event first.',
    authScopes: { permission: 'audit.read' },
    args: {
      ...pageArgs,
      entityId: t.arg.string({ validate: searchText, description: 'What it happened to.' }),
      actorId: t.arg.string({ validate: searchText, description: 'Who caused it.' }),
      type: t.arg.string({ validate: searchText }),
      from: t.arg({ type: 'DateTime', validate: time, description: 'The first moment that counts.' }),
      until: t.arg({
        type: 'DateTime',
        validate: time,
        description: 'The first moment that no longer counts.',
      }),
    },
    resolve: (_root, args, context) =>
      listAudit(
        context.deps.sql,
        signedIn(context).tenantId,
        {
          entityId: args.entityId ?? undefined,
          actorId: args.actorId ?? undefined,
          type: args.type ?? undefined,
          from: args.from ?? undefined,
          until: args.until ?? undefined,
        },
        pageOf(args),
      ),
  }),
);

builder.queryField('auditEventTypes', (t) =>
  t.stringList({
    description: 'Every type of event there is.',
    authScopes: { permission: 'audit.read' },
    resolve: () => catalogues.flatMap(({ schemas }) => Object.keys(schemas)).sort(),
  }),
);
