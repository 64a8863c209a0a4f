/**
 * Sessions in GraphQL: the own ones, and an account's for administrators; ending them. Listed in schema.ts.
 */
import { z } from 'zod';
import { accountDecider } from '../../domain/account/decide.ts';
import { type AccountId, accountId } from '../../domain/ids.ts';
import { refuse } from '../../domain/refusals.ts';
import {
  type Portal as PortalName,
  portal,
  type SessionEnd,
  type SignInMethod as SignInMethodName,
} from '../../domain/sign-in/sign-in.ts';
import { actorOf } from '../credentials.ts';
import { isOver, sessionEndsAt, sessionPolicyOf } from '../identify/account.ts';
import { signInSettings } from '../sign-in/door.ts';
import { endSession, endSessions } from '../sign-in/end-sessions.ts';
import type { PasswordOwner } from '../vault/passwords.ts';
import { builder } from './builder.ts';
import { type ApiContext, signedIn, signedInAccount } from './context.ts';
import { type Effect, EffectInterface, refuseIf, settle } from './effect.ts';
import { Portal, SignInMethod } from './enums.ts';
import { mutation } from './mutation.ts';
import { requireExisting } from './references.ts';

interface SessionRow {
  readonly sessionId: string;
  readonly portal: PortalName;
  readonly address: string;
  readonly userAgent: string | null;
  readonly method: SignInMethodName;
  readonly createdAt: string;
  readonly usedAt: string;
  readonly expiresAt: string;
}

const SessionType = builder.objectRef<SessionRow>('Session').implement({
  description: 'A session of an account.',
  fields: (t) => ({
    sessionId: t.exposeID('sessionId'),
    portal: t.expose('portal', { type: Portal }),
    address: t.exposeString('address', { description: 'From where it was last used.' }),
    userAgent: t.exposeString('userAgent', { nullable: true, description: 'Of the program that signed in.' }),
    method: t.expose('method', { type: SignInMethod, description: 'How it was opened.' }),
    createdAt: t.expose('createdAt', { type: 'DateTime' }),
    usedAt: t.expose('usedAt', { type: 'DateTime', description: 'To the minute.' }),
    expiresAt: t.expose('expiresAt', { type: 'DateTime', description: 'At the latest.' }),
    current: t.boolean({
      description: 'Whether it is the one that asks.',
      resolve: ({ sessionId }, _args, context) => {
        const credential = signedIn(context);
        return credential.kind === 'account' && credential.sessionId === sessionId;
      },
    }),
  }),
});

/** Sessions of an account of the own tenant that have not ended, the last used first. */
const sessionsOf = async (context: ApiContext, id: AccountId): Promise<SessionRow[]> => {
  const { credentials, deps } = context;
  const { tenantId } = signedIn(context);
  const settings = await signInSettings(deps, tenantId);
  const now = deps.clock();
  return (await credentials.sessions.list(tenantId, id))
    .filter((session) => !isOver(session, sessionPolicyOf(credentials, settings, session.portal), now))
    .map((session) => ({
      sessionId: session.sessionId,
      portal: portal.parse(session.portal),
      address: session.address,
      userAgent: session.userAgent,
      method: session.method,
      createdAt: session.createdAt.toISOString(),
      usedAt: session.usedAt.toISOString(),
      expiresAt: sessionEndsAt(session, sessionPolicyOf(credentials, settings, session.portal)),
    }));
};

builder.queryField('sessions', (t) =>
  t.field({
    type: [SessionType],
    description: 'The own sessions, the last used first, at most 200.',
    authScopes: { signedIn: true },
    resolve: (_root, _args, context) => sessionsOf(context, signedInAccount(context).accountId),
  }),
);

builder.queryField('accountSessions', (t) =>
  t.field({
    type: [SessionType],
    description: 'The sessions of an account of the tenant; none when there is no such account.',
    authScopes: { permission: 'account.read' },
    args: { accountId: t.arg.id({ required: true }).validate(accountId) },
    resolve: (_root, args, context) => sessionsOf(context, args.accountId),
  }),
);

const EndedPayload = builder.objectRef<Effect & { readonly ended: number }>('EndSessionsPayload').implement({
  interfaces: [EffectInterface],
  fields: (t) => ({ ended: t.exposeInt('ended', { description: 'How many sessions ended, at once.' }) }),
});

/** The answer to ending one session; refuses `session-missing`. */
const endedOne = async (
  context: ApiContext,
  owner: PasswordOwner,
  sessionId: string,
  reason: SessionEnd,
): Promise<Effect & { readonly ended: number }> => {
  const done = await endSession(context, owner, sessionId, { reason, by: actorOf(signedIn(context)) });
  if (done.ended === 0) refuseIf(refuse('session-missing', { field: 'sessionId' }));
  return { ended: done.ended, ...(await settle(context, done)) };
};

mutation('endSession', {
  description: 'Ends one of the own sessions.',
  scope: 'signedIn',
  type: EndedPayload,
  input: (t) => ({ sessionId: t.id({ required: true }).validate(z.uuid()) }),
  run: (input, context) => {
    const { tenantId, accountId } = signedInAccount(context);
    return endedOne(context, { tenantId, accountId }, input.sessionId, 'signed-out');
  },
});

mutation('endAccountSessions', {
  description: 'Ends a session of an account of the tenant, or all of them.',
  permission: 'account.manage',
  type: EndedPayload,
  input: (t) => ({
    accountId: t.id({ required: true }).validate(accountId),
    sessionId: t.id({ description: 'Only this one.' }).validate(z.uuid().nullish()),
  }),
  run: async (input, context) => {
    const credential = signedIn(context);
    const { tenantId } = credential;
    await requireExisting(context, accountDecider, input.accountId, 'account-missing', 'accountId');
    const owner = { tenantId, accountId: input.accountId };
    if (input.sessionId) return endedOne(context, owner, input.sessionId, 'revoked');
    const done = await endSessions(context, owner, { reason: 'revoked', by: actorOf(credential) });
    return { ended: done.ended, ...(await settle(context, done)) };
  },
});
