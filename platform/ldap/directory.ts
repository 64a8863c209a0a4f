/**
 * A tenant's directory as a list of people: looked up, read through, and asked whether a password is right. Called by
 * api/graphql/directory.ts and portal.ts, and by the job that keeps users in step.
 */
import { type Client, type Entry, Filter, type SearchOptions } from 'ldapts';
import { z } from 'zod';
import type { DirectorySettings } from '../../domain/directory/directory.ts';
import { email as emailSchema } from '../../domain/text.ts';
import { MusterError } from '../errors.ts';
import { bind, withServer } from './client.ts';

/** An entry of the directory as far as it says who somebody is. */
export interface Person {
  readonly dn: string;
  /** The entry's lasting id; binary ones in hex. */
  readonly guid: string;
  /** null: the entry has none, or one that is no address. */
  readonly email: string | null;
  readonly name: string;
  readonly externalId: string | null;
  readonly department: string | null;
  readonly phone: string | null;
}

/** What it takes to speak to a directory. */
export interface DirectoryAccess {
  readonly settings: DirectorySettings;
  /** Of the bind account; null binds anonymously. */
  readonly bindPassword: string | null;
  readonly allowLoopback: boolean;
}

/** Entries that one search answers at most. */
export const mostFound = 50;
const searchSeconds = 10;
const pageSize = 500;

/** The first value of an attribute as one line of at most `max` characters; names of attributes know no case. */
const textOf = (entry: Entry, attribute: string | null, max: number): string | null => {
  if (attribute === null) return null;
  const known = Object.keys(entry).find((name) => name.toLowerCase() === attribute.toLowerCase());
  const value = known === undefined ? undefined : entry[known];
  const first = Array.isArray(value) ? value[0] : value;
  if (first === undefined) return null;
  const text = Buffer.isBuffer(first) ? first.toString('hex') : first;
  return (
    text
      .replace(/[\p{Cc}\p{Zl}\p{Zp}\p{Cs}]+/gu, ' ')
      .trim()
      .slice(0, max) || null
  );
};

/** Who an entry is; undefined when it has no lasting id, or a DN too long to keep. */
const personOf = (entry: Entry, { attributes }: DirectorySettings): Person | undefined => {
  const guid = textOf(entry, attributes.guid, 128);
  if (guid === null || entry.dn.length > 1000) return undefined;
  const email = emailSchema.safeParse(textOf(entry, attributes.email, 254));
  return {
    dn: entry.dn,
    guid,
    email: email.success ? email.data : null,
    name: textOf(entry, attributes.name, 120) ?? guid,
    externalId: textOf(entry, attributes.externalId, 128),
    department: textOf(entry, attributes.department, 120),
    phone: textOf(entry, attributes.phone, 40),
  };
};

const peopleOf = (entries: readonly Entry[], settings: DirectorySettings): Person[] =>
  entries.flatMap((entry) => personOf(entry, settings) ?? []);

const optionsOf = (settings: DirectorySettings, filter: string): SearchOptions => ({
  scope: 'sub',
  derefAliases: 'never',
  timeLimit: searchSeconds,
  filter: `(&${settings.userFilter}${filter})`,
  attributes: Object.values(settings.attributes).filter((name): name is string => name !== null),
  explicitBufferAttributes: ['objectGUID'],
});

const anyOf = (names: readonly string[], match: string): string =>
  `(|${[...new Set(names)].map((name) => `(${name}=${match})`).join('')})`;

const bindAccount = async (client: Client, { settings, bindPassword }: DirectoryAccess): Promise<void> => {
  if (settings.bindDn === null) return;
  if (!(await bind(client, settings.bindDn, bindPassword ?? '')))
    throw new MusterError('directory-refused', 'the bind account or its password is wrong');
};

const withDirectory = <T>(access: DirectoryAccess, work: (client: Client) => Promise<T>): Promise<T> =>
  withServer(access.settings, access.allowLoopback, (client) => bindAccount(client, access), work);

const find = (access: DirectoryAccess, filter: string, sizeLimit: number): Promise<Person[]> =>
  withDirectory(access, async (client) => {
    const { settings } = access;
    const found: Person[] = [];
    for (const base of settings.baseDns) {
      const options = { ...optionsOf(settings, filter), sizeLimit };
      const { searchEntries } = await client.search(base, options);
      found.push(...peopleOf(searchEntries, settings));
      if (found.length >= sizeLimit) break;
    }
    return found.slice(0, sizeLimit);
  });

/** People whose name, address or sign-in name begins with the term, at most `mostFound`. */
export const searchPeople = (access: DirectoryAccess, term: string): Promise<Person[]> => {
  const { attributes, loginAttributes } = access.settings;
  const names = [attributes.name, attributes.email, ...loginAttributes];
  return find(access, anyOf(names, `${Filter.escape(term)}*`), mostFound);
};

/** The one person who signs in under that name; null when there is none, or more than one. */
export const findByLogin = async (access: DirectoryAccess, login: string): Promise<Person | null> => {
  const found = await find(access, anyOf(access.settings.loginAttributes, Filter.escape(login)), 2);
  return found.length === 1 ? (found[0] as Person) : null;
};

/** The people with those lasting ids, as the directory has them now. */
export const findByGuid = async (access: DirectoryAccess, guids: readonly string[]): Promise<Person[]> => {
  const { guid } = access.settings.attributes;
  const binary = guid.toLowerCase() === 'objectguid';
  const matches = guids.map((id) => {
    const value =
      binary && /^([0-9a-f]{2})+$/.test(id) ? id.replace(/../g, (byte) => `\\${byte}`) : Filter.escape(id);
    return `(${guid}=${value})`;
  });
  return find(access, `(|${matches.join('')})`, guids.length);
};

/** Whether the password is that of the entry. An empty one never is, and is not even sent. */
export const checkPassword = async (
  { settings, allowLoopback }: DirectoryAccess,
  dn: string,
  password: string,
): Promise<boolean> => {
  if (password === '' || z.string().max(256).safeParse(password).success === false) return false;
  return withServer(
    settings,
    allowLoopback,
    async () => {},
    (client) => bind(client, dn, password),
  );
};

/** Hands over everybody that the user filter selects, page by page (RFC 2696). */
export const eachPage = (access: DirectoryAccess, take: (people: readonly Person[]) => void): Promise<void> =>
  withDirectory(access, async (client) => {
    for (const base of access.settings.baseDns) {
      const options = { ...optionsOf(access.settings, ''), paged: { pageSize } };
      for await (const { searchEntries } of client.searchPaginated(base, options))
        take(peopleOf(searchEntries, access.settings));
    }
  });
