/**
 * Registered EAS proxies in GraphQL. Listed in schema.ts.
 */
import { type ProxyId, proxyId } from '../../domain/ids.ts';
import { proxyDecider } from '../../domain/proxy/decide.ts';
import { name } from '../../domain/text.ts';
import { hashSecret, newId, newSecret } from '../../platform/new-id.ts';
import { findProxy, listProxies, type ProxyRow } from '../../projections/proxies.ts';
import { proxyToken } from '../identify/proxy.ts';
import { findProxyState, type StoredProxyState } from '../vault/proxy-states.ts';
import { builder } from './builder.ts';
import { connectionOf, pageArgs, pageOf } from './connection.ts';
import { signedIn } from './context.ts';
import { act, type Changed, EffectInterface, payloadOf, settle } from './effect.ts';
import { ProxyStatus } from './enums.ts';
import { mutation } from './mutation.ts';
import { requireExisting } from './references.ts';
import { EasProxy } from './refs.ts';

builder.node(EasProxy, {
  description: 'A registered EAS proxy: it follows the tenant’s mail verdicts.',
  id: { resolve: (proxy) => proxy.proxyId },
  fields: (t) => ({
    name: t.exposeString('name'),
    status: t.expose('status', { type: ProxyStatus }),
    createdAt: t.expose('createdAt', { type: 'DateTime' }),
    state: t.field({
      type: ProxyStateType,
      nullable: true,
      description: 'How it was when it last reported. Null: it never did.',
      resolve: async ({ proxyId: id }, _args, { deps, ...context }) => {
        const found = await findProxyState(deps.sql, signedIn(context).tenantId, id);
        return found === null ? null : { ...found, now: deps.clock() };
      },
    }),
  }),
});

/** A report goes out every 15 s; after three that are missing something is wrong. */
const lostAfterMs = 60_000;

const ProxyStateType = builder
  .objectRef<StoredProxyState & { readonly now: number }>('ProxyState')
  .implement({
    description: 'What a proxy tells of itself every few seconds.',
    fields: (t) => ({
      reportedAt: t.expose('reportedAt', { type: 'DateTime' }),
      contactLost: t.boolean({
        description: 'Whether it has not reported for a minute.',
        resolve: ({ reportedAt, now }) => now - Date.parse(reportedAt) > lostAfterMs,
      }),
      version: t.exposeString('version'),
      startedAt: t.expose('startedAt', { type: 'DateTime' }),
      position: t.exposeString('position', {
        nullable: true,
        description: 'Position in the log up to which it knows mail verdicts.',
      }),
      lagSeconds: t.int({
        nullable: true,
        description: 'Since its verdicts were last confirmed. Null: never.',
        resolve: ({ lagSeconds, reportedAt, now }) =>
          lagSeconds === null
            ? null
            : lagSeconds + Math.max(0, Math.round((now - Date.parse(reportedAt)) / 1_000)),
      }),
      connected: t.exposeBoolean('connected', { description: 'Whether it followed its feed.' }),
      stale: t.exposeBoolean('stale', {
        description: 'Whether it let nobody through because its verdicts were too old or missing.',
      }),
      devices: t.exposeInt('devices'),
      heldRequests: t.exposeInt('heldRequests'),
      denials: t.exposeInt('denials', { description: 'Requests refused since it started.' }),
      certificateExpiresAt: t.expose('certificateExpiresAt', {
        type: 'DateTime',
        nullable: true,
        description: 'Of its listener. Null: it speaks no TLS itself.',
      }),
      allowsAnyServerCertificate: t.exposeBoolean('allowsAnyServerCertificate', {
        description: 'Whether it takes the server’s certificate unchecked.',
      }),
    }),
  });

builder.queryField('proxies', (t) =>
  t.field({
    type: connectionOf('Proxy', EasProxy),
    description: 'Proxies by name, revoked ones too.',
    authScopes: { permission: 'proxy.read' },
    args: pageArgs,
    resolve: (_root, args, context) =>
      listProxies(context.deps.sql, signedIn(context).tenantId, pageOf(args)),
  }),
);

interface Credentialed extends Changed<ProxyId> {
  readonly token: string;
}

const TokenPayload = builder.objectRef<Credentialed>('ProxyTokenPayload').implement({
  interfaces: [EffectInterface],
  fields: (t) => ({
    token: t.exposeString('token', {
      description: 'The serverToken of the proxy. Shown this once: only a digest of it is kept.',
    }),
    proxy: t.field({
      type: EasProxy,
      nullable: true,
      resolve: async ({ id }, _args, context) =>
        (await findProxy(context.deps.sql, signedIn(context).tenantId, id)) ?? null,
    }),
  }),
});

mutation('registerProxy', {
  description: 'Registers an EAS proxy and makes its credential.',
  permission: 'proxy.manage',
  type: TokenPayload,
  input: (t) => ({ name: t.string({ required: true }).validate(name) }),
  run: async (input, context) => {
    const id = newId('prx');
    const secret = newSecret();
    const done = await act(context, proxyDecider, id, {
      type: 'RegisterProxy',
      name: input.name,
      tokenHash: hashSecret(secret),
    });
    const token = proxyToken(signedIn(context).tenantId, id, secret);
    return { id, token, ...(await settle(context, done)) };
  },
});

mutation('replaceProxyToken', {
  description: 'Makes a new credential for a proxy; the old one ends at once. A revoked proxy works again.',
  permission: 'proxy.manage',
  type: TokenPayload,
  input: (t) => ({ proxyId: t.id({ required: true }).validate(proxyId) }),
  run: async (input, context) => {
    const id = input.proxyId;
    await requireExisting(context, proxyDecider, id, 'proxy-missing', 'proxyId');
    const secret = newSecret();
    const done = await act(context, proxyDecider, id, {
      type: 'ReplaceProxyToken',
      tokenHash: hashSecret(secret),
    });
    const token = proxyToken(signedIn(context).tenantId, id, secret);
    return { id, token, ...(await settle(context, done)) };
  },
});

mutation('revokeProxy', {
  description: 'Ends the credential of a proxy; its feed is cut within seconds.',
  permission: 'proxy.manage',
  type: payloadOf<ProxyId, ProxyRow>('Proxy', 'proxy', EasProxy, findProxy),
  input: (t) => ({ proxyId: t.id({ required: true }).validate(proxyId) }),
  run: async (input, context) => {
    const id = input.proxyId;
    await requireExisting(context, proxyDecider, id, 'proxy-missing', 'proxyId');
    const done = await act(context, proxyDecider, id, { type: 'RevokeProxy' });
    return { id, ...(await settle(context, done)) };
  },
});
