/**
 * Whose account, or which user, somebody at the identity provider is. Once bound, it is the subject alone that tells:
 * an address that changed hands at the provider takes over nothing. Called by single-sign-on.ts.
 */
import { accountDecider } from '../../../domain/account/decide.ts';
import type { Identity } from '../../../domain/identity-provider/identity.ts';
import type { IdentityProviderSettings } from '../../../domain/identity-provider/identity-provider.ts';
import type { AccountId, TenantId, UserId } from '../../../domain/ids.ts';
import { isRefusal, type Refusal } from '../../../domain/refusals.ts';
import { same } from '../../../domain/same.ts';
import type { Portal } from '../../../domain/sign-in/sign-in.ts';
import { name } from '../../../domain/text.ts';
import { userDecider } from '../../../domain/user/decide.ts';
import { MusterError } from '../../../platform/errors.ts';
import type { Cause, Handler } from '../../../platform/handle.ts';
import { newId } from '../../../platform/new-id.ts';
import { holderOf, identityKey, release, reserve } from '../../../platform/reservation.ts';
import { issuerOf, type Person } from './provider.ts';

/** Where the log says so. */
interface Done {
  readonly position: bigint | undefined;
}

/** How owners of one kind are found, made and bound; `make` answers undefined where nobody is made. */
interface Kind<Id extends AccountId | UserId> {
  readonly email: 'account-email' | 'user-email';
  readonly identity: 'account-identity' | 'user-identity';
  boundTo(handler: Handler, tenantId: TenantId, id: Id): Promise<Identity | null>;
  make(
    parts: Finding,
    address: string,
    displayName: string,
  ): { readonly id: Id; create(): Promise<Refusal | undefined> } | undefined;
  bind(handler: Handler, tenantId: TenantId, id: Id, to: Identity, cause: Cause): Promise<Done | Refusal>;
}

/** Who is looked for, and in which tenant. */
export interface Finding {
  readonly handler: Handler;
  readonly tenantId: TenantId;
  readonly settings: IdentityProviderSettings;
  readonly person: Person;
  readonly requestId: string;
}

/** One request may say several things to one stream: each has a command id of its own. */
const causeOf = ({ requestId }: Pick<Finding, 'requestId'>, what: string): Cause => ({
  actor: { kind: 'system', id: 'identity-provider' },
  commandId: `${requestId}-${what}`,
  correlationId: requestId,
});

/** What was reserved by the same request is given back under another command id, or it would be taken for it. */
const releasing = (cause: Cause): Cause => ({ ...cause, commandId: `${cause.commandId}-release` });

const refusalIn = (done: unknown): Refusal | undefined => (isRefusal(done) ? done : undefined);

const accounts: Kind<AccountId> = {
  email: 'account-email',
  identity: 'account-identity',
  async boundTo(handler, tenantId, id) {
    const { state } = await handler.load(accountDecider, { tenantId, id });
    return state.status === 'none' ? null : state.identity;
  },
  make(parts, email, displayName) {
    const { handler, tenantId, settings } = parts;
    const role = settings.provisionRole;
    if (role === null) return undefined;
    const id = newId('acc');
    const command = { type: 'CreateAccount', email, name: displayName, role } as const;
    return {
      id,
      create: async () =>
        refusalIn(await handler.handle(accountDecider, { tenantId, id }, command, causeOf(parts, 'create'))),
    };
  },
  async bind(handler, tenantId, id, identity, cause) {
    const command = { type: 'BindAccountIdentity', identity } as const;
    return handler.handle(accountDecider, { tenantId, id }, command, cause);
  },
};

const users: Kind<UserId> = {
  email: 'user-email',
  identity: 'user-identity',
  async boundTo(handler, tenantId, id) {
    const { state } = await handler.load(userDecider, { tenantId, id });
    return state.status === 'none' || state.status === 'removed' ? null : state.identity;
  },
  make(parts, email, displayName) {
    const { handler, tenantId, settings } = parts;
    if (!settings.provisionUsers) return undefined;
    const id = newId('usr');
    const details = { name: displayName, externalId: null, department: null, phone: null };
    const command = { type: 'CreateUser', email, source: { kind: 'internal' }, ...details } as const;
    return {
      id,
      create: async () =>
        refusalIn(await handler.handle(userDecider, { tenantId, id }, command, causeOf(parts, 'create'))),
    };
  },
  async bind(handler, tenantId, id, identity, cause) {
    const command = { type: 'BindUserIdentity', identity } as const;
    return handler.handle(userDecider, { tenantId, id }, command, cause);
  },
};

const kinds = { admin: accounts, 'self-service': users } as const;

/** The identity that somebody at the tenant's provider has. */
export const identityOf = (
  settings: Pick<IdentityProviderSettings, 'issuer'>,
  { subject }: Pick<Person, 'subject'>,
): Identity => ({ issuer: issuerOf(settings), subject });

/**
 * Binds an owner to somebody at the provider; whom it was bound to at an earlier provider becomes free. Refuses
 * `name-taken` when somebody else is bound to that, and `identity-bound` when the owner is bound to another one.
 */
export const bindIdentity = async (
  handler: Handler,
  portal: Portal,
  { tenantId, id, identity }: { tenantId: TenantId; id: AccountId | UserId; identity: Identity },
  cause: Cause,
): Promise<Done | Refusal> => {
  const kind = kinds[portal] as Kind<AccountId | UserId>;
  const unique = { kind: kind.identity, value: identityKey(identity), tenantId } as const;
  const before = await kind.boundTo(handler, tenantId, id);
  const taken = await reserve(handler, unique, id, cause);
  if (taken) return taken;
  const done = await kind.bind(handler, tenantId, id, identity, cause);
  if (isRefusal(done)) {
    if (!same(before, identity)) await release(handler, unique, id, releasing(cause));
    return done;
  }
  if (before && !same(before, identity))
    await release(handler, { ...unique, value: identityKey(before) }, id, releasing(cause));
  return done;
};

/** Makes an account or user for somebody who has none. Whoever comes twice at once is made once. */
const provision = async <Id extends AccountId | UserId>(
  kind: Kind<Id>,
  parts: Finding,
  address: string,
): Promise<Id | Refusal | undefined> => {
  const made = kind.make(parts, address, parts.person.name ?? name.parse(address.slice(0, 120)));
  if (!made) return undefined;
  const unique = { kind: kind.email, value: address, tenantId: parts.tenantId } as const;
  const taken = await reserve(parts.handler, unique, made.id, causeOf(parts, 'reserve'));
  if (taken) return ((await holderOf(parts.handler, unique)) as Id | null) ?? taken;
  return (await made.create()) ?? made.id;
};

/** The owner of the first sign-in, by the address that the provider verified. */
const firstOf = async <Id extends AccountId | UserId>(
  kind: Kind<Id>,
  parts: Finding,
): Promise<Id | Refusal> => {
  const { handler, tenantId, settings, person } = parts;
  const nobody = (why: string) => new MusterError('single-sign-on-failed', why);
  if (settings.firstSignIn === 'bound-only') throw nobody('nobody here is bound to you');
  if (person.verifiedEmail === null)
    throw nobody('the provider names no e-mail address that it has verified');
  const unique = { kind: kind.email, value: person.verifiedEmail, tenantId } as const;
  const known = (await holderOf(handler, unique)) as Id | null;
  const owner = known ?? (await provision(kind, parts, person.verifiedEmail));
  if (owner === undefined) throw nobody('nobody here has your e-mail address');
  return owner;
};

const findOf = async <Id extends AccountId | UserId>(
  kind: Kind<Id>,
  portal: Portal,
  parts: Finding,
): Promise<Id | Refusal> => {
  const { handler, tenantId, settings, person } = parts;
  const identity = identityOf(settings, person);
  const unique = { kind: kind.identity, value: identityKey(identity), tenantId } as const;
  const holder = (await holderOf(handler, unique)) as Id | null;
  if (holder && same(await kind.boundTo(handler, tenantId, holder), identity)) return holder;
  const first = await firstOf(kind, parts);
  if (isRefusal(first)) return first;
  const bound = await bindIdentity(
    handler,
    portal,
    { tenantId, id: first, identity },
    causeOf(parts, 'bind'),
  );
  return isRefusal(bound) ? bound : first;
};

/** The account of somebody at the provider, bound or made when need be. Throws `single-sign-on-failed`. */
export const accountOf = (parts: Finding): Promise<AccountId | Refusal> => findOf(accounts, 'admin', parts);

/** The user of the self-service portal, likewise. */
export const userOf = (parts: Finding): Promise<UserId | Refusal> => findOf(users, 'self-service', parts);

/** Frees an account or user from whom it is bound to; the first sign-in binds it anew. */
export const unbindIdentity = async (
  handler: Handler,
  portal: Portal,
  { tenantId, id }: { tenantId: TenantId; id: AccountId | UserId },
  cause: Cause,
): Promise<Done | Refusal> => {
  const bound = await (kinds[portal] as Kind<AccountId | UserId>).boundTo(handler, tenantId, id);
  const target = { tenantId, id };
  const done =
    portal === 'admin'
      ? await handler.handle(accountDecider, target, { type: 'UnbindAccountIdentity' }, cause)
      : await handler.handle(userDecider, target, { type: 'UnbindUserIdentity' }, cause);
  if (isRefusal(done) || !bound) return done;
  const unique = { kind: kinds[portal].identity, value: identityKey(bound), tenantId } as const;
  await release(handler, unique, id, releasing(cause));
  return done;
};
