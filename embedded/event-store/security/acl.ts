/**
 * Who may do what with a stream: `$acl` of its metadata, the defaults of the `$settings` stream, the roles of a caller.
 * Pure. Follows EventStoreDB's LegacyStreamPermissionAssertion and its effective ACL.
 */
import { isMetastream, originalOf } from '../event.ts';

/** What can be done with a stream; its metastream is read and written as `metaRead` and `metaWrite`. */
export type Action = 'read' | 'write' | 'delete' | 'metaRead' | 'metaWrite';

/** Roles per action. An action that is absent is left to the defaults; an empty list leaves it to `$admins`. */
export type StreamAcl = { readonly [action in Action]?: readonly string[] };

/** What holds for streams without an ACL of their own. */
export interface DefaultAcls {
  readonly user: StreamAcl;
  readonly system: StreamAcl;
}

/** A caller who proved who they are. `roles` are their name and their groups. */
export interface Caller {
  readonly name: string;
  readonly roles: ReadonlySet<string>;
}

/** Role that every authenticated caller has, and the groups that the server itself knows. */
export const everyone = '$all';
export const administrators = '$admins';
export const operators = '$ops';

const keys: readonly [key: string, action: Action][] = [
  ['$r', 'read'],
  ['$w', 'write'],
  ['$d', 'delete'],
  ['$mr', 'metaRead'],
  ['$mw', 'metaWrite'],
];

const actions: readonly Action[] = keys.map(([, action]) => action);
const allActions = (role: string): StreamAcl => Object.fromEntries(actions.map((action) => [action, [role]]));

/** What EventStoreDB begins with: user streams are open to every user, system streams to administrators. */
const preset: DefaultAcls = { user: allActions(everyone), system: allActions(administrators) };

const asObject = (value: unknown): Record<string, unknown> | undefined =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : undefined;

/** One role or a list of them. What cannot be understood admits nobody rather than everybody. */
const readRoles = (value: unknown): readonly string[] => {
  if (typeof value === 'string') return [value];
  return Array.isArray(value) ? value.filter((role) => typeof role === 'string') : [];
};

/** An ACL as metadata holds it (`{"$r": "alice", "$w": ["$admins"]}`); undefined when there is none. */
export const readAcl = (value: unknown): StreamAcl | undefined => {
  if (value === undefined || value === null) return undefined;
  const given = asObject(value);
  if (!given) return Object.fromEntries(actions.map((action) => [action, []]));
  const present = keys.filter(([key]) => given[key] !== undefined && given[key] !== null);
  return Object.fromEntries(present.map(([key, action]) => [action, readRoles(given[key])]));
};

/** The defaults that the newest event of `$settings` asks for; without one, those of EventStoreDB. */
export const readDefaultAcls = (data: Uint8Array | undefined): DefaultAcls => {
  let given: Record<string, unknown> | undefined;
  try {
    given = data && asObject(JSON.parse(Buffer.from(data).toString('utf8')));
  } catch {
    given = undefined;
  }
  return {
    user: { ...preset.user, ...readAcl(given?.['$userStreamAcl']) },
    system: { ...preset.system, ...readAcl(given?.['$systemStreamAcl']) },
  };
};

const onMetastream: { readonly [action in Action]?: Action } = { read: 'metaRead', write: 'metaWrite' };

/** Whether one of `roles` is the caller's. */
export const hasRole = (caller: Caller | undefined, ...roles: readonly string[]): boolean =>
  caller !== undefined && roles.some((role) => caller.roles.has(role));

/**
 * Whether `caller` may do `action` with `stream`, whose own ACL (for a metastream: that of the stream it describes) is
 * `acl`. Nobody may anything without having authenticated; `$admins` may everything.
 */
export const isAllowed = (
  caller: Caller | undefined,
  action: Action,
  stream: string,
  acl: StreamAcl | undefined,
  defaults: DefaultAcls,
): boolean => {
  if (!caller) return false;
  if (caller.roles.has(administrators)) return true;
  const effective = isMetastream(stream) ? onMetastream[action] : action;
  if (!effective) return false;
  const fallback = originalOf(stream).startsWith('$') ? defaults.system : defaults.user;
  const roles = acl?.[effective] ?? fallback[effective] ?? [];
  return roles.some((role) => role === everyone || caller.roles.has(role));
};
