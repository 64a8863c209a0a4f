/**
 * The tenant's LDAP directory in GraphQL: settings, look-up, and making users of people found there. Listed in
 * schema.ts; signing in by it is in portal.ts.
 */
import { z } from 'zod';
import { directoryDecider } from '../../domain/directory/decide.ts';
import {
  type DirectorySettings,
  type DirectoryState,
  directorySettings,
} from '../../domain/directory/directory.ts';
import type { UserId } from '../../domain/ids.ts';
import { isRefusal, refuse } from '../../domain/refusals.ts';
import { line } from '../../domain/text.ts';
import { userDecider } from '../../domain/user/decide.ts';
import { directoryOf } from '../../platform/directory-access.ts';
import { MusterError } from '../../platform/errors.ts';
import {
  type DirectoryAccess,
  findByGuid,
  mostFound,
  type Person,
  searchPeople,
} from '../../platform/ldap/directory.ts';
import { newId } from '../../platform/new-id.ts';
import { holderOf, reserve } from '../../platform/reservation.ts';
import { directoryPasswordPurpose } from '../../platform/sealed-secrets.ts';
import { findUserByGuid } from '../../projections/users.ts';
import { builder, RefusedError } from './builder.ts';
import { type ApiContext, signedIn } from './context.ts';
import { act, causeOf, type Effect, EffectInterface, settle, stateOf } from './effect.ts';
import { mutation } from './mutation.ts';
import { User } from './refs.ts';

type Configured = Extract<DirectoryState, { status: 'configured' }>;

const DirectoryType = builder.objectRef<Configured>('Directory').implement({
  description: 'The LDAP directory of the tenant. Its bind password is never shown.',
  fields: (t) => ({
    settings: t.field({ type: 'JSON', resolve: ({ settings }) => settings }),
    warning: t.string({
      nullable: true,
      description: 'What is dangerous about the settings.',
      resolve: ({ settings }) => warningOf(settings),
    }),
    lastSyncAt: t.field({
      type: 'DateTime',
      nullable: true,
      resolve: ({ lastSync }) => lastSync?.at ?? null,
    }),
    lastSyncFailure: t.string({ nullable: true, resolve: ({ lastSync }) => lastSync?.failure ?? null }),
    syncDueAt: t.expose('syncDueAt', { type: 'DateTime', nullable: true }),
  }),
});

const isPlain = ({ urls, startTls, unsafeWithoutTls }: DirectorySettings): boolean =>
  unsafeWithoutTls && !startTls && urls.some((url) => url.startsWith('ldap://'));

const warningOf = (settings: DirectorySettings): string | null =>
  isPlain(settings)
    ? 'UNSAFE: passwords of users cross the network unencrypted. Use ldaps:// or startTls at once.'
    : null;

builder.queryField('directory', (t) =>
  t.field({
    type: DirectoryType,
    nullable: true,
    description: 'The directory of the tenant; null when it has none.',
    authScopes: { permission: 'directory.read' },
    resolve: async (_root, _args, context) => {
      const state = await stateOf(context, directoryDecider, signedIn(context).tenantId);
      return state.status === 'configured' ? state : null;
    },
  }),
);

/** The directory of the account's tenant; refuses `directory-missing`. */
export const requireDirectory = async (context: ApiContext): Promise<DirectoryAccess> => {
  const { handler } = context.deps;
  const { secrets } = context.credentials;
  const allowLoopback = context.config.directoryAllowLoopback;
  const access = await directoryOf({ handler, secrets, allowLoopback }, signedIn(context).tenantId);
  if (!access) throw new RefusedError(refuse('directory-missing'));
  return access;
};

const PersonType = builder.objectRef<Person>('DirectoryPerson').implement({
  description: 'Somebody in the directory.',
  fields: (t) => ({
    guid: t.exposeString('guid', { description: 'What importDirectoryUsers takes.' }),
    dn: t.exposeString('dn'),
    email: t.exposeString('email', {
      nullable: true,
      description: 'Null: without an address nobody can be made a user.',
    }),
    name: t.exposeString('name'),
    externalId: t.exposeString('externalId', { nullable: true }),
    department: t.exposeString('department', { nullable: true }),
    phone: t.exposeString('phone', { nullable: true }),
    user: t.field({
      type: User,
      nullable: true,
      description: 'The user that was made of it.',
      resolve: async ({ guid }, _args, context) =>
        (await findUserByGuid(context.deps.sql, signedIn(context).tenantId, guid)) ?? null,
    }),
  }),
});

builder.queryField('searchDirectory', (t) =>
  t.field({
    type: [PersonType],
    description: `People whose name or address begins with the term, at most ${mostFound}.`,
    authScopes: { permission: 'directory.read' },
    args: { term: t.arg.string({ required: true }).validate(line(100)) },
    resolve: async (_root, { term }, context) => searchPeople(await requireDirectory(context), term),
  }),
);

interface Configuring extends Effect {
  readonly state: Configured | null;
}

const ConfigurePayload = builder.objectRef<Configuring>('DirectoryPayload').implement({
  interfaces: [EffectInterface],
  fields: (t) => ({ directory: t.expose('state', { type: DirectoryType, nullable: true }) }),
});

const settingsOf = (given: unknown): DirectorySettings => {
  const parsed = directorySettings.safeParse(given);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    const field = ['settings', ...(issue?.path ?? [])].join('.');
    throw new MusterError('invalid-input', issue?.message ?? '', { field });
  }
  const { data } = parsed;
  const plain = data.urls.some((url) => url.startsWith('ldap://')) && !data.startTls;
  if (plain && !data.unsafeWithoutTls)
    throw new MusterError('invalid-input', 'ldap:// needs startTls: passwords would cross in the clear', {
      field: 'settings.urls',
    });
  return data;
};

mutation('configureDirectory', {
  description:
    'Sets the directory of the tenant. A bind password that is left out stays; it is kept sealed and never shown. Other settings than before that name other servers need the password again.',
  permission: 'directory.manage',
  type: ConfigurePayload,
  input: (t) => ({
    settings: t.field({ type: 'JSON', required: true, description: 'See the documentation: Directory.' }),
    bindPassword: t.string().validate(z.string().min(1).max(256).nullish()),
  }),
  run: async (input, context) => {
    const { tenantId } = signedIn(context);
    const settings = settingsOf(input.settings);
    const { secrets } = context.credentials;
    const before = await stateOf(context, directoryDecider, tenantId);
    const same =
      before.status === 'configured' &&
      settings.urls.every((url) => before.settings.urls.includes(url)) &&
      before.settings.bindDn === settings.bindDn;
    // Whoever may change the address must not be handed the password by its being sent there.
    if (!same) await secrets.remove(tenantId, directoryPasswordPurpose);
    const done = [await act(context, directoryDecider, tenantId, { type: 'ConfigureDirectory', settings })];
    if (input.bindPassword) {
      await secrets.put(tenantId, directoryPasswordPurpose, input.bindPassword);
      done.push(await act(context, directoryDecider, tenantId, { type: 'ChangeDirectoryPassword' }));
    }
    const { state } = done.at(-1) as (typeof done)[number];
    if (isPlain(settings))
      context.deps.log.warn({ tenantId }, 'UNSAFE: a directory is spoken to without TLS');
    return {
      state: state.status === 'configured' ? state : null,
      ...(await settle(context, ...done)),
    };
  },
});

mutation('removeDirectory', {
  description:
    'Forgets the directory and its bind password. Users made of it stay, and can no longer sign in by it.',
  permission: 'directory.manage',
  type: ConfigurePayload,
  run: async (_input, context) => {
    const { tenantId } = signedIn(context);
    await context.credentials.secrets.remove(tenantId, directoryPasswordPurpose);
    const done = await act(context, directoryDecider, tenantId, { type: 'RemoveDirectory' });
    return { state: null, ...(await settle(context, done)) };
  },
});

interface Imported extends Effect {
  readonly created: number;
  readonly linked: number;
  readonly failed: readonly { readonly guid: string; readonly code: string }[];
}

const FailedType = builder.objectRef<Imported['failed'][number]>('DirectoryImportFailure').implement({
  fields: (t) => ({ guid: t.exposeString('guid'), code: t.exposeString('code') }),
});

const ImportedPayload = builder.objectRef<Imported>('DirectoryImportPayload').implement({
  interfaces: [EffectInterface],
  fields: (t) => ({
    created: t.exposeInt('created'),
    linked: t.exposeInt('linked', { description: 'Users of the same address that were there already.' }),
    failed: t.field({ type: [FailedType], resolve: ({ failed }) => [...failed] }),
  }),
});

/** Makes a user of somebody in the directory, or links the user of that address. */
const adopt = async (context: ApiContext, person: Person & { readonly email: string }) => {
  const { tenantId } = signedIn(context);
  const { handler } = context.deps;
  const { dn, guid, email, name, externalId, department, phone } = person;
  const id = newId('usr');
  const unique = { kind: 'user-email', value: email, tenantId } as const;
  const source = { kind: 'ldap' as const, dn, guid };
  const taken = await reserve(handler, unique, id, causeOf(context));
  if (!taken)
    return {
      linked: false,
      done: await act(context, userDecider, id, {
        type: 'CreateUser',
        email,
        name,
        externalId,
        department,
        phone,
        source,
      }),
    };
  const holder = (await holderOf(handler, unique)) as UserId | null;
  if (holder === null) throw new RefusedError(taken);
  return {
    linked: true,
    done: await act(context, userDecider, holder, { type: 'ChangeUserSource', source }),
  };
};

mutation('importDirectoryUsers', {
  description: `Makes users of up to ${mostFound} people found in the directory.`,
  permission: 'user.manage',
  type: ImportedPayload,
  input: (t) => ({
    guids: t.stringList({ required: true }).validate(z.array(line(128)).min(1).max(mostFound)),
  }),
  run: async (input, context) => {
    const guids = [...new Set(input.guids)];
    const people = await findByGuid(await requireDirectory(context), guids);
    const failed: { guid: string; code: string }[] = [];
    const done: { position: bigint | undefined }[] = [];
    const counts = { created: 0, linked: 0 };
    for (const guid of guids) {
      const person = people.find((found) => found.guid === guid);
      if (!person || person.email === null) {
        failed.push({ guid, code: person ? 'invalid-input' : 'user-missing' });
        continue;
      }
      const adopted = await adopt(context, { ...person, email: person.email }).catch((error: unknown) => {
        if (error instanceof RefusedError && isRefusal(error.refusal)) return error.refusal;
        throw error;
      });
      if (isRefusal(adopted)) failed.push({ guid, code: adopted.refused });
      else {
        counts[adopted.linked ? 'linked' : 'created'] += 1;
        done.push(adopted.done);
      }
    }
    return { ...counts, failed, ...(await settle(context, ...done)) };
  },
});
