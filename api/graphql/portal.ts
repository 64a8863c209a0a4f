/**
 * The account side of the self-service portal in GraphQL: users sign in with the password of their directory, and see
 * themselves and their own devices. Listed in schema.ts.
 */
import { z } from 'zod';
import type { TenantId } from '../../domain/ids.ts';
import { refuse } from '../../domain/refusals.ts';
import { tenantDecider } from '../../domain/tenant/decide.ts';
import { userDecider } from '../../domain/user/decide.ts';
import { directoryOf } from '../../platform/directory-access.ts';
import { MusterError } from '../../platform/errors.ts';
import { checkPassword, findByLogin } from '../../platform/ldap/directory.ts';
import { type DeviceRow, listUserDevices } from '../../projections/devices.ts';
import { findUser, findUserByGuid, type UserRow } from '../../projections/users.ts';
import { countedAddress } from '../address.ts';
import { sessionEndsAt } from '../identify/account.ts';
import { portalSessionPolicyOf } from '../identify/portal-user.ts';
import { signInSettings } from '../sign-in/door.ts';
import { requireAddress, requireTurn, tenantOf } from '../sign-in/enter.ts';
import { isPasswordClosed } from '../sign-in/identity-provider.ts';
import { builder } from './builder.ts';
import { connectionOf, pageArgs, pageOf } from './connection.ts';
import { type ApiContext, portalUser } from './context.ts';
import { refuseIf } from './effect.ts';
import { ComplianceStatus, DeviceStatus, MailDecision, Ownership, Platform } from './enums.ts';
import { mutation } from './mutation.ts';

const OwnDevice = builder.objectRef<DeviceRow>('OwnDevice').implement({
  description: 'A device as its user sees it.',
  fields: (t) => ({
    id: t.id({ resolve: ({ deviceId }) => deviceId }),
    name: t.exposeString('name'),
    platform: t.expose('platform', { type: Platform }),
    ownership: t.expose('ownership', { type: Ownership }),
    status: t.expose('status', { type: DeviceStatus }),
    lastCheckInAt: t.expose('lastCheckInAt', { type: 'DateTime', nullable: true }),
    complianceStatus: t.expose('complianceStatus', { type: ComplianceStatus, nullable: true }),
    violations: t.stringList({
      description: 'What is wrong with it, in sentences.',
      resolve: ({ violations }) => violations.map(({ why }) => why),
    }),
    mailVerdict: t.expose('mailVerdict', { type: MailDecision }),
    mailReason: t.exposeString('mailReason'),
  }),
});

const SelfViewer = builder.objectRef<UserRow>('SelfViewer').implement({
  description: 'The user who is signed in to the portal.',
  fields: (t) => ({
    userId: t.id({ resolve: (user) => user.userId }),
    email: t.exposeString('email'),
    name: t.exposeString('name'),
    devices: t.field({
      type: connectionOf('OwnDevice', OwnDevice),
      description: 'The own devices by name, without those that were unenrolled.',
      args: pageArgs,
      resolve: ({ email }, args, context) =>
        listUserDevices(context.deps.sql, portalUser(context).tenantId, email, pageOf(args)),
    }),
  }),
});

builder.queryField('selfViewer', (t) =>
  t.field({
    type: SelfViewer,
    description: 'The user who is signed in to the self-service portal.',
    authScopes: { selfService: true },
    resolve: async (_root, _args, context) => {
      const { tenantId, userId } = portalUser(context);
      const found = await findUser(context.deps.sql, tenantId, userId);
      if (!found) throw new MusterError('unauthenticated', 'the user is gone');
      return found;
    },
  }),
);

interface Opened {
  /** null: the browser keeps it. */
  readonly token: string | null;
  readonly expiresAt: string;
}

const OpenedType = builder.objectRef<Opened>('PortalSignInPayload').implement({
  fields: (t) => ({
    token: t.exposeString('token', {
      nullable: true,
      description: 'Send it as `Authorization: Bearer <token>`. Null when the browser keeps it as a cookie.',
    }),
    expiresAt: t.expose('expiresAt', {
      type: 'DateTime',
      description: 'When the session ends at the latest; it ends earlier when it is not used.',
    }),
  }),
});

/** Anything that a person may type; what is nobody's name simply names nobody. */
const typed = z.string().max(254);

interface Entry {
  readonly tenantSlug: string;
  readonly login: string;
  readonly password: string;
}

const wrong = () => new MusterError('unauthenticated', 'tenant, name or password is wrong');

/** The user whose directory entry the name and password are of; null when they are nobody's. */
const authenticate = async (
  context: ApiContext,
  tenantId: TenantId,
  { login, password }: Entry,
): Promise<UserRow | null> => {
  // Refused before anything is sent: a bind without a password succeeds for every name (RFC 4513 section 5.1.2).
  if (password === '' || login.trim() === '') return null;
  const { handler, sql } = context.deps;
  const { secrets } = context.credentials;
  const allowLoopback = context.config.directoryAllowLoopback;
  const access = await directoryOf({ handler, secrets, allowLoopback }, tenantId);
  if (!access) return null;
  const person = await findByLogin(access, login.trim());
  if (!person || !(await checkPassword(access, person.dn, password))) return null;
  // By the entry's lasting id, never by its address: people may be able to change that in the directory.
  return (await findUserByGuid(sql, tenantId, person.guid)) ?? null;
};

mutation('signInToPortal', {
  description:
    'Opens a session of the self-service portal, with name and password of the tenant’s directory.',
  scope: 'public',
  type: OpenedType,
  input: (t) => ({
    tenantSlug: t.string({ required: true }).validate(typed),
    login: t.string({ required: true }).validate(typed),
    password: t.string({ required: true }).validate(z.string().max(256)),
    cookie: t.boolean({
      required: true,
      defaultValue: false,
      description: 'True: the browser keeps the session as a cookie that no script can read.',
    }),
  }),
  run: async (input, context) => {
    const { browser, credentials, deps, door, requestId, address } = context;
    const { attempts, portalSessions } = credentials;
    if (input.cookie && browser.crossSite) throw browser.crossSite;
    const tenantId = await tenantOf(deps, input.tenantSlug);
    const settings = tenantId && (await signInSettings(deps, tenantId));
    requireAddress(settings, 'self-service', address);
    const who = input.login.trim().toLowerCase();
    const subject = `portal/${input.tenantSlug.trim().toLowerCase()}/${who}`;
    const attempt = { account: subject, address: countedAddress(address) };
    await requireTurn(context, attempt, tenantId && { tenantId, accountId: null });
    const found = tenantId === null ? null : await authenticate(context, tenantId, input);
    if (tenantId === null || settings === null || !found) {
      if (tenantId) door.recorder.count('failed', tenantId, null, attempt.address);
      throw wrong();
    }
    await attempts.succeed(attempt);
    const { handler } = deps;
    const tenant = await handler.load(tenantDecider, { tenantId, id: tenantId });
    const user = await handler.load(userDecider, { tenantId, id: found.userId });
    if (tenant.state.status !== 'active') refuseIf(refuse('tenant-suspended'));
    if (user.state.status !== 'active') refuseIf(refuse('user-disabled'));
    if (await isPasswordClosed(deps, tenantId, 'self-service', null))
      refuseIf(refuse('single-sign-on-required'));
    // The fact is in the log before anybody holds the session.
    const { userAgent } = browser;
    await door.recorder.tell(
      tenantId,
      { type: 'UserSignedIn', data: { userId: found.userId, address, userAgent, method: 'directory' } },
      { actor: { kind: 'user', id: found.userId }, requestId },
    );
    const opened = await portalSessions.open(tenantId, found.userId);
    if (input.cookie) browser.keepSession(opened.token);
    return {
      token: input.cookie ? null : opened.token,
      expiresAt: sessionEndsAt(opened, portalSessionPolicyOf(settings)),
    };
  },
});

const SignedOut = builder.objectRef<{ readonly signedOut: boolean }>('PortalSignOutPayload').implement({
  fields: (t) => ({ signedOut: t.exposeBoolean('signedOut') }),
});

mutation('signOutOfPortal', {
  description: 'Ends this session of the self-service portal, or every one of the user.',
  scope: 'selfService',
  type: SignedOut,
  input: (t) => ({ everywhere: t.boolean({ required: true, defaultValue: false }) }),
  run: async ({ everywhere }, context) => {
    const { tenantId, userId, token } = portalUser(context);
    if (everywhere) await context.credentials.portalSessions.endAll(tenantId, userId);
    else await context.credentials.portalSessions.end(token);
    if (context.browser.sessionToken !== undefined) context.browser.keepSession(null);
    return { signedOut: true };
  },
});
