/**
 * Who may connect to the event store over TLS: names, groups and password hashes, in a table.
 * Used by credentials.ts to tell callers apart and by `muster eventstore user` to change them.
 *
 * EventStoreDB keeps them as `$user-<name>` streams. Here they are rows, because a log never forgets: a removed user
 * and a replaced hash are really gone, and no reader of $all ever sees one.
 */
import { z } from 'zod';
import { MusterError } from '../../../platform/errors.ts';
import { newCode } from '../../../platform/new-id.ts';
import { chosenPassword, type PasswordHashing } from '../../../platform/passwords.ts';
import type { Sql } from '../../../platform/sql.ts';
import { administrators } from './acl.ts';

/** A user as stored. */
export interface StoredUser {
  readonly name: string;
  readonly groups: readonly string[];
  readonly hash: string;
}

/** A user as listed. */
export interface ListedUser {
  readonly name: string;
  readonly groups: readonly string[];
  readonly changedAt: Date;
}

/** The users of one store. Changes throw `invalid-input`, naming the field. */
export interface Users {
  find(name: string): Promise<StoredUser | undefined>;
  list(): Promise<ListedUser[]>;
  /** Adds a user; answers the password, a new one unless it was given. */
  add(name: string, groups: readonly string[], password?: string): Promise<string>;
  /** Replaces a user's password; answers as `add` does. */
  setPassword(name: string, password?: string): Promise<string>;
  /** Removes a user. The last administrator stays: nobody could add another one over the wire. */
  remove(name: string): Promise<void>;
  /** Adds `admin` while nobody administers; answers the one-time password then, else undefined. */
  ensureAdministrator(): Promise<string | undefined>;
}

/** Idempotent DDL; part of schema.ts, and applied by itself to a store that was last served before there were users. */
export const usersDdl = `
create table if not exists event_store.users (
  name text collate "C" primary key,
  groups text[] not null,
  hash text not null,
  changed_at timestamptz not null default now()
);
`;

/** Basic credentials end the name at the first colon (RFC 7617 section 2); `$` begins the names of the server itself. */
const nameSchema = z
  .string()
  .regex(/^[^\s:$\p{C}][^\s:\p{C}]{0,63}$/u, '1 to 64 characters without spaces and colons, no $ in front');
const groupSchema = z
  .string()
  .regex(/^(\$admins|\$ops|[^\s$\p{C}][^\s\p{C}]{0,63})$/u, '$admins, $ops, or a name of your own without $');

const checked = <T>(schema: z.ZodType<T>, field: string, value: unknown): T => {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new MusterError(
    'invalid-input',
    `${field}: ${parsed.error.issues.map((issue) => issue.message).join(', ')}`,
    { field },
  );
};

const unknownUser = (name: string): MusterError =>
  new MusterError('invalid-input', `name: there is no user ${name}`, { field: 'name' });

const isDuplicate = (error: unknown): boolean => (error as { code?: unknown }).code === '23505';

/** The users in the database of `sql`; `usersDdl` must have been applied. */
export const openUsers = (sql: Sql, hashing: PasswordHashing): Users => {
  const chosenOrNew = (password: string | undefined): string =>
    password === undefined ? newCode() : checked(chosenPassword, 'password', password);

  const insert = async (name: string, groups: readonly string[], password: string): Promise<boolean> => {
    const hashed = await hashing.hash(password);
    try {
      await sql`insert into event_store.users (name, groups, hash) values (${name}, ${[...groups]}, ${hashed})`;
      return true;
    } catch (error) {
      if (isDuplicate(error)) return false;
      throw error;
    }
  };

  return {
    find: async (name) => {
      const [row] = await sql<StoredUser[]>`
        select name, groups, hash from event_store.users where name = ${name}`;
      return row;
    },
    list: async () => [
      ...(await sql<ListedUser[]>`
        select name, groups, changed_at as "changedAt" from event_store.users order by name`),
    ],
    add: async (name, groups, given) => {
      checked(nameSchema, 'name', name);
      for (const group of groups) checked(groupSchema, 'group', group);
      const password = chosenOrNew(given);
      if (await insert(name, groups, password)) return password;
      throw new MusterError('invalid-input', `name: there is a user ${name} already`, { field: 'name' });
    },
    setPassword: async (name, given) => {
      const password = chosenOrNew(given);
      const hashed = await hashing.hash(password);
      const changed = await sql`
        update event_store.users set hash = ${hashed}, changed_at = now() where name = ${name} returning 1`;
      if (changed.length === 0) throw unknownUser(name);
      return password;
    },
    remove: async (name) => {
      const removed = await sql`
        delete from event_store.users u where name = ${name} and (not ${administrators} = any (groups)
          or exists (select 1 from event_store.users o where o.name <> u.name and ${administrators} = any (o.groups)))
        returning 1`;
      if (removed.length > 0) return;
      const [found] = await sql`select 1 from event_store.users where name = ${name}`;
      if (!found) throw unknownUser(name);
      throw new MusterError(
        'invalid-input',
        `name: ${name} is the last of ${administrators}; add another first`,
        {
          field: 'name',
        },
      );
    },
    ensureAdministrator: async () => {
      const [found] = await sql`
        select 1 from event_store.users where name = 'admin' or ${administrators} = any (groups) limit 1`;
      if (found) return undefined;
      const password = newCode();
      return (await insert('admin', [administrators], password)) ? password : undefined;
    },
  };
};
