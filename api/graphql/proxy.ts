/**
 * Registered EAS proxies in GraphQL, and what they need to know of the server. Listed in schema.ts.
 */
import { X509Certificate } from 'node:crypto';
import { type ProxyId, proxyId } from '../../domain/ids.ts';
import { proxyDecider } from '../../domain/proxy/decide.ts';
import { tenantDecider } from '../../domain/tenant/decide.ts';
import { name } from '../../domain/text.ts';
import { MusterError } from '../../platform/errors.ts';
import { internalProxyAdvice } from '../../platform/internal-proxy.ts';
import { newId } from '../../platform/new-id.ts';
import { certificateSha256, readCertificate } from '../../platform/pki.ts';
import { proxyOwner, release, reserve } from '../../platform/reservation.ts';
import { findProxy, listProxies, type ProxyRow } from '../../projections/proxies.ts';
import type { FeedInfo } from '../proxy/main.ts';
import { findProxyState, type StoredProxyState } from '../vault/proxy-states.ts';
import { builder } from './builder.ts';
import { connectionOf, pageArgs, pageOf } from './connection.ts';
import { signedIn } from './context.ts';
import { act, causeOf, payloadOf, refuseIf, settle, stateOf } from './effect.ts';
import { ProxyStatus, StaleMailRule } from './enums.ts';
import { mutation } from './mutation.ts';
import { requireExisting } from './references.ts';
import { EasProxy } from './refs.ts';
import { TenantPayload } from './tenant-type.ts';

builder.node(EasProxy, {
  description: 'A registered EAS proxy: it follows the tenant’s mail verdicts.',
  id: { resolve: (proxy) => proxy.proxyId },
  fields: (t) => ({
    name: t.exposeString('name'),
    status: t.expose('status', { type: ProxyStatus }),
    certificateSha256: t.exposeString('certificateSha256', {
      nullable: true,
      description:
        'SHA-256 of its certificate, hex; null for one of the time when proxies had tokens: revoke it.',
    }),
    verifiesServer: t.exposeBoolean('verifiesServer', {
      nullable: true,
      description:
        'False: when it last came, it was told to take any server for the real one (allowAnyServerCertificate). Null: it never came.',
    }),
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
      internal: t.exposeBoolean('internal', {
        description: 'Whether it runs inside the server (MUSTER_INTERNAL_PROXY_CONFIG).',
      }),
      advice: t.string({
        nullable: true,
        description: 'What should be done about how it is set up. Null: nothing.',
        resolve: ({ internal, devices }) => (internal ? internalProxyAdvice(devices) : null),
      }),
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
        description: 'Whether its verdicts were too old or missing, so that staleMailRule decided.',
      }),
      devices: t.exposeInt('devices'),
      heldRequests: t.exposeInt('heldRequests'),
      denials: t.exposeInt('denials', { description: 'Requests refused since it started.' }),
      certificateExpiresAt: t.expose('certificateExpiresAt', {
        type: 'DateTime',
        nullable: true,
        description: 'Of its listener. Null: it speaks no TLS itself.',
      }),
    }),
  });

const Feed = builder.objectRef<FeedInfo>('ProxyFeed').implement({
  description: 'Where proxies follow their tenant’s verdicts, and what they know the server by.',
  fields: (t) => ({
    url: t.exposeString('url', { description: 'For serverUrl.' }),
    authorityPem: t.exposeString('authorityPem', { description: 'For serverCaFile.' }),
    pin: t.exposeString('pin', {
      description: 'For serverPin: SHA-256 of the authority’s public key, hex.',
    }),
    signingKey: t.exposeString('signingKey', {
      description: 'Public key of the feed’s signatures (Ed25519, SubjectPublicKeyInfo, base64).',
    }),
  }),
});

builder.queryFields((t) => ({
  proxies: t.field({
    type: connectionOf('Proxy', EasProxy),
    description: 'Proxies by name, revoked ones too.',
    authScopes: { permission: 'proxy.read' },
    args: pageArgs,
    resolve: (_root, args, context) =>
      listProxies(context.deps.sql, signedIn(context).tenantId, pageOf(args)),
  }),
  proxyFeed: t.field({
    type: Feed,
    nullable: true,
    description: 'Null: this server has no listener for proxies (MUSTER_PROXY_FEED_PORT).',
    authScopes: { permission: 'proxy.read' },
    resolve: (_root, _args, context) => context.proxyFeed() ?? null,
  }),
  staleMailRule: t.field({
    type: StaleMailRule,
    description: 'What the tenant’s proxies do once their verdicts are older than they may be.',
    authScopes: { permission: 'proxy.read' },
    resolve: async (_root, _args, context) => {
      const state = await stateOf(context, tenantDecider, signedIn(context).tenantId);
      return state.status === 'none' ? 'deny' : state.staleMailRule;
    },
  }),
}));

const ProxyPayload = payloadOf<ProxyId, ProxyRow>('Proxy', 'proxy', EasProxy, findProxy);

/** The digest of the one certificate of a PEM text, which must be good at `now`; throws `invalid-input`. */
const digestOf = (pem: string, now: number): string => {
  const certificate = /-----BEGIN CERTIFICATE-----/g.exec(pem) ? readCertificate(pem) : undefined;
  const fault = (message: string) => new MusterError('invalid-input', message, { field: 'certificatePem' });
  if (certificate === undefined || pem.split('-----BEGIN').length !== 2)
    throw fault('must be one certificate in PEM, as muster proxy export writes it');
  const { ca, validTo } = new X509Certificate(certificate.raw);
  if (ca) throw fault('is the certificate of an authority');
  if (Date.parse(validTo) < now) throw fault('has expired');
  return certificateSha256(certificate);
};

const longestPem = 16_384;

mutation('registerProxy', {
  description:
    'Registers an instance of an EAS proxy by its certificate (muster proxy export): from now on it may follow this tenant’s verdicts.',
  permission: 'proxy.manage',
  type: ProxyPayload,
  input: (t) => ({
    name: t.string({ required: true }).validate(name),
    certificatePem: t.string({ required: true }),
  }),
  run: async (input, context) => {
    const { handler, clock } = context.deps;
    const { tenantId } = signedIn(context);
    if (input.certificatePem.length > longestPem)
      throw new MusterError('invalid-input', 'is too long', { field: 'certificatePem' });
    const sha256 = digestOf(input.certificatePem, clock());
    const id = newId('prx');
    const unique = { kind: 'proxy-certificate', value: sha256 } as const;
    refuseIf(await reserve(handler, unique, proxyOwner(tenantId, id), causeOf(context)));
    const command = { type: 'RegisterProxy', name: input.name, certificateSha256: sha256 } as const;
    const done = await act(context, proxyDecider, id, command);
    return { id, ...(await settle(context, done)) };
  },
});

mutation('renameProxy', {
  description: 'Renames a proxy.',
  permission: 'proxy.manage',
  type: ProxyPayload,
  input: (t) => ({
    proxyId: t.id({ required: true }).validate(proxyId),
    name: t.string({ required: true }).validate(name),
  }),
  run: async (input, context) => {
    const id = input.proxyId;
    await requireExisting(context, proxyDecider, id, 'proxy-missing', 'proxyId');
    const done = await act(context, proxyDecider, id, { type: 'RenameProxy', name: input.name });
    return { id, ...(await settle(context, done)) };
  },
});

mutation('revokeProxy', {
  description:
    'Ends the registration of a proxy for good; its feed is cut within five seconds. Its certificate may be registered again.',
  permission: 'proxy.manage',
  type: ProxyPayload,
  input: (t) => ({ proxyId: t.id({ required: true }).validate(proxyId) }),
  run: async (input, context) => {
    const id = input.proxyId;
    await requireExisting(context, proxyDecider, id, 'proxy-missing', 'proxyId');
    const done = await act(context, proxyDecider, id, { type: 'RevokeProxy' });
    const { state } = done;
    if (state.status !== 'none' && state.certificateSha256 !== null) {
      const unique = { kind: 'proxy-certificate', value: state.certificateSha256 } as const;
      const owner = proxyOwner(signedIn(context).tenantId, id);
      await release(context.deps.handler, unique, owner, causeOf(context));
    }
    return { id, ...(await settle(context, done)) };
  },
});

mutation('chooseStaleMailRule', {
  description:
    'Chooses what the tenant’s proxies do once the server has not confirmed their verdicts for longer than they may be old.',
  permission: 'proxy.manage',
  type: TenantPayload,
  input: (t) => ({ staleMailRule: t.field({ type: StaleMailRule, required: true }) }),
  run: async (input, context) => {
    const { tenantId: id } = signedIn(context);
    const { staleMailRule } = input;
    const done = await act(context, tenantDecider, id, { type: 'ChooseStaleMailRule', staleMailRule });
    return { id, ...(await settle(context, done)) };
  },
});
