/**
 * Job: brings the users that came from a tenant's directory into step with it: details follow, who is gone there is
 * disabled. Nobody is created, removed or enabled: who comes back is let in by an administrator. Queued by review-directories.ts.
 */
import { directoryDecider } from '../domain/directory/decide.ts';
import type { TenantId } from '../domain/ids.ts';
import { isRefusal } from '../domain/refusals.ts';
import { type UserCommand, userDecider } from '../domain/user/decide.ts';
import { isoTime } from '../platform/clock.ts';
import { directoryOf } from '../platform/directory-access.ts';
import { MusterError } from '../platform/errors.ts';
import { type DirectoryAccess, eachPage, type Person } from '../platform/ldap/directory.ts';
import { listDirectoryUsers, type UserRow } from '../projections/users.ts';
import { causeOf } from './cause.ts';
import { eachOf } from './in-turn.ts';
import type { JobKind, Parts } from './jobs.ts';
import { everyPage } from './pages.ts';

const usersAtOnce = 8;
/** Entries beyond this are no directory that one job can hold. */
const mostPeople = 200_000;
/** More missing people than this share, and more than `fewMissing`, look like a wrong filter and disable nobody. */
const mostMissing = 0.2;
const fewMissing = 5;
const gone = 'no longer in the directory';

const readAll = async (access: DirectoryAccess): Promise<Map<string, Person>> => {
  const people = new Map<string, Person>();
  await eachPage(access, (page) => {
    for (const person of page) people.set(person.guid, person);
    if (people.size > mostPeople)
      throw new MusterError('directory-refused', `more than ${mostPeople} entries`);
  });
  return people;
};

/** What has to be said to a user, given the entry as it is now. */
const commandsFor = (user: UserRow, person: Person | undefined): UserCommand[] => {
  if (!person) return user.status === 'active' ? [{ type: 'DisableUser', reason: gone }] : [];
  const { dn, guid, name, externalId, department, phone } = person;
  return [
    { type: 'ChangeUserSource', source: { kind: 'ldap', dn, guid } },
    { type: 'ChangeUserDetails', changes: { name, externalId, department, phone } },
  ];
};

interface Counts {
  updated: number;
  disabled: number;
}

const syncUser = async (
  { deps }: Parts,
  tenantId: TenantId,
  jobId: string,
  user: UserRow,
  person: Person | undefined,
  counts: Counts,
): Promise<void> => {
  const target = { tenantId, id: user.userId };
  let changed = false;
  for (const command of commandsFor(user, person)) {
    const cause = causeOf('sync-directory', `${jobId}.${user.userId}.${command.type}`);
    const handled = await deps.handler.handle(userDecider, target, command, cause);
    changed ||= !isRefusal(handled) && handled.events.length > 0;
  }
  if (changed) counts[person ? 'updated' : 'disabled'] += 1;
};

const sync = async (
  parts: Parts,
  tenantId: TenantId,
  jobId: string,
  access: DirectoryAccess,
): Promise<Counts & { found: number }> => {
  const people = await readAll(access);
  const users: UserRow[] = [];
  for await (const page of everyPage(parts, (at) => listDirectoryUsers(parts.deps.sql, tenantId, at)))
    users.push(...page);
  const missing = users.filter(({ source }) => source.kind === 'ldap' && !people.has(source.guid)).length;
  if (missing > fewMissing && missing > users.length * mostMissing)
    throw new MusterError(
      'directory-refused',
      `${missing} of ${users.length} users are not there: check the filter`,
    );
  const counts: Counts = { updated: 0, disabled: 0 };
  await eachOf(users, usersAtOnce, async (user) => {
    parts.stopping.throwIfAborted();
    const person = user.source.kind === 'ldap' ? people.get(user.source.guid) : undefined;
    await syncUser(parts, tenantId, jobId, user, person, counts);
  });
  return { found: people.size, ...counts };
};

export const syncDirectory: JobKind<'sync-directory'> = {
  queue: 'sync-directory',
  concurrency: 2,
  async run(job, parts) {
    const { tenantId } = job.data;
    const { handler, clock } = parts.deps;
    const startedAt = isoTime(clock());
    const allowLoopback = parts.config.directoryAllowLoopback;
    const access = await directoryOf({ handler, secrets: parts.secrets, allowLoopback }, tenantId);
    if (!access) return { synced: false };
    const outcome = await sync(parts, tenantId, job.id, access).catch((error: unknown) => {
      if (error instanceof MusterError && error.code.startsWith('directory-')) return error;
      throw error;
    });
    const command =
      outcome instanceof MusterError
        ? ({ type: 'RecordDirectorySyncFailure', startedAt, reason: outcome.message } as const)
        : ({ type: 'RecordDirectorySync', startedAt, ...outcome } as const);
    const cause = causeOf('sync-directory', `${job.id}.record`);
    await handler.handle(directoryDecider, { tenantId, id: tenantId }, command, cause);
    return { synced: !(outcome instanceof MusterError) };
  },
};
