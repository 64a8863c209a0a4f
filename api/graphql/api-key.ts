/**
 * API keys in GraphQL: credentials of programs. Listed in schema.ts; the token is read by api/credentials.ts.
 */
import { z } from 'zod';
import { permission } from '../../domain/account/permissions.ts';
import { apiKeyDecider } from '../../domain/api-key/decide.ts';
import { type ApiKeyId, apiKeyId } from '../../domain/ids.ts';
import { name } from '../../domain/text.ts';
import { isoTime } from '../../platform/clock.ts';
import { hashSecret, newId, newSecret } from '../../platform/new-id.ts';
import { type ApiKeyRow, findApiKey, listApiKeys } from '../../projections/api-keys.ts';
import { apiKeyToken } from '../identify/api-key.ts';
import { builder } from './builder.ts';
import { connectionOf, pageArgs, pageOf } from './connection.ts';
import { signedIn } from './context.ts';
import { act, type Changed, EffectInterface, payloadOf, settle } from './effect.ts';
import { ApiKeyStatus, Permission } from './enums.ts';
import { mutation } from './mutation.ts';
import { ApiKey } from './refs.ts';
import { requireOwn } from './role-view.ts';

builder.node(ApiKey, {
  description: 'A credential of programs, with permissions of its own and an end.',
  id: { resolve: (apiKey) => apiKey.apiKeyId },
  fields: (t) => ({
    name: t.exposeString('name'),
    status: t.expose('status', { type: ApiKeyStatus }),
    permissions: t.field({ type: [Permission], resolve: (apiKey) => [...apiKey.permissions] }),
    expiresAt: t.expose('expiresAt', { type: 'DateTime' }),
    createdAt: t.expose('createdAt', { type: 'DateTime' }),
    lastUse: t.field({
      type: LastUse,
      nullable: true,
      description: 'Null: it was never used.',
      resolve: async ({ apiKeyId: id }, _args, context) =>
        (await context.credentials.apiKeyUses.lastOf(signedIn(context).tenantId, [id])).get(id) ?? null,
    }),
  }),
});

const LastUse = builder
  .objectRef<{ readonly usedAt: string; readonly address: string }>('ApiKeyUse')
  .implement({
    description: 'When a key was last used, to the minute, and from which IP address.',
    fields: (t) => ({
      usedAt: t.expose('usedAt', { type: 'DateTime' }),
      address: t.exposeString('address'),
    }),
  });

builder.queryField('apiKeys', (t) =>
  t.field({
    type: connectionOf('ApiKey', ApiKey),
    description: 'API keys by name, revoked ones too.',
    authScopes: { permission: 'api-key.read' },
    args: pageArgs,
    resolve: (_root, args, context) =>
      listApiKeys(context.deps.sql, signedIn(context).tenantId, pageOf(args)),
  }),
);

interface Credentialed extends Changed<ApiKeyId> {
  readonly token: string;
}

const TokenPayload = builder.objectRef<Credentialed>('ApiKeyTokenPayload').implement({
  interfaces: [EffectInterface],
  fields: (t) => ({
    token: t.exposeString('token', {
      description:
        'Send it as `Authorization: Bearer <token>`. Shown this once: only a digest of it is kept.',
    }),
    apiKey: t.field({
      type: ApiKey,
      nullable: true,
      resolve: async ({ id }, _args, context) =>
        (await findApiKey(context.deps.sql, signedIn(context).tenantId, id)) ?? null,
    }),
  }),
});

const dayMs = 86_400_000;

mutation('createApiKey', {
  description: 'Creates an API key. It can allow nothing that its creator may not do, and ends by itself.',
  permission: 'api-key.manage',
  type: TokenPayload,
  input: (t) => ({
    name: t.string({ required: true }).validate(name),
    permissions: t.field({ type: [Permission], required: true }).validate(z.array(permission).min(1)),
    days: t
      .int({ required: true, defaultValue: 90, description: 'Days until it ends, 1 to 730.' })
      .validate(z.int().min(1).max(730)),
  }),
  run: async (input, context) => {
    requireOwn(context, input.permissions, 'permissions');
    const id = newId('key');
    const secret = newSecret();
    const done = await act(context, apiKeyDecider, id, (now) => ({
      type: 'CreateApiKey' as const,
      name: input.name,
      permissions: input.permissions,
      expiresAt: isoTime(Date.parse(now) + input.days * dayMs),
      tokenHash: hashSecret(secret),
      now,
    }));
    const token = apiKeyToken(signedIn(context).tenantId, id, secret);
    return { id, token, ...(await settle(context, done)) };
  },
});

mutation('revokeApiKey', {
  description: 'Ends an API key within seconds, in every process.',
  permission: 'api-key.manage',
  type: payloadOf<ApiKeyId, ApiKeyRow>('ApiKey', 'apiKey', ApiKey, findApiKey),
  input: (t) => ({ apiKeyId: t.id({ required: true }).validate(apiKeyId) }),
  run: async (input, context) => {
    const id = input.apiKeyId;
    const done = await act(context, apiKeyDecider, id, { type: 'RevokeApiKey' });
    return { id, ...(await settle(context, done)) };
  },
});
