/**
 * Slows down guessing of passwords without locking anybody out; the rules are in attempt-rules.ts. Everything is
 * counted under what was typed, so that accounts that do not exist are treated like those that do.
 * Opened by api/credentials.ts; called by sign-in and password changes.
 */
import { createHash } from 'node:crypto';
import { type Clock, isoTime } from '../../platform/clock.ts';
import { newSecret } from '../../platform/new-id.ts';
import { type Sql, type Transaction, transaction } from '../../platform/sql.ts';
import {
  type Admission,
  admit,
  type Failures,
  forgottenAfterMs,
  type LaneName,
  oneMore,
  perAddress,
  perClient,
} from './attempt-rules.ts';

/** Who tries what, from where. */
export interface Attempt {
  /** What was typed to name the account, or its id. */
  readonly account: string;
  /** As counted: see api/address.ts. */
  readonly address: string;
  /** Token of a program that signed in before. */
  readonly clientToken?: string | undefined;
  /** Whether a challenge was solved for this attempt. */
  readonly solved?: boolean;
  /** Signed in already: never queues with strangers. */
  readonly trusted?: boolean;
}

/** How things stand before an attempt. */
export interface Standing {
  readonly known: boolean;
  /** Failures that count towards a challenge: its own, and of a stranger those of all strangers on the account. */
  readonly failures: number;
}

export interface Attempts {
  /** How things stand; counts nothing. */
  standing(attempt: Attempt): Promise<Standing>;
  /**
   * Counts an attempt before its password is looked at, so that attempts at the same time count too. `waitSeconds` 0:
   * it may go on; else the seconds until this client is let through.
   */
  begin(attempt: Attempt): Promise<{ readonly waitSeconds: number; readonly known: boolean }>;
  /** Takes the attempt back: it succeeded. */
  succeed(attempt: Attempt): Promise<void>;
  /** Remembers address and program of a success; answers the program's token, a new one unless its own is known. */
  remember(attempt: Attempt): Promise<string>;
}

const clientTokenPrefix = 'muster-client.';
const knownForMs = 90 * 24 * 3_600_000;
const knownPerAccount = 100;

const digest = (...parts: string[]): string =>
  createHash('sha256').update(JSON.stringify(parts)).digest('hex');
const accountSubject = (account: string) => digest('account', account);
const addressSubject = (address: string) => digest('address', address);
const addressClient = (address: string) => digest('client-address', address);
const programClient = (token: string) => digest('client-program', token);

interface Row {
  readonly subject: string;
  readonly failures: number;
  readonly freeAt: Date;
  readonly lastAt: Date;
}

/** By which client an attempt counts: the program if it is known, else the address. */
const clientsOf = async (
  sql: Sql | Transaction,
  { account, address, clientToken, trusted }: Attempt,
  since: string,
): Promise<{ known: boolean; program: boolean; client: string }> => {
  const place = addressClient(address);
  const program = clientToken?.startsWith(clientTokenPrefix) ? programClient(clientToken) : place;
  const rows = await sql<{ client: string }[]>`
    select client from vault.known_clients
    where subject = ${accountSubject(account)} and client in (${place}, ${program}) and last_at >= ${since}`;
  const knows = (client: string) => rows.some((row) => row.client === client);
  const byProgram = program !== place && knows(program);
  return {
    known: trusted === true || byProgram || knows(place),
    program: byProgram,
    client: digest('on', account, byProgram ? program : place),
  };
};

const failuresOf = (rows: readonly Row[], subject: string): Failures | undefined => {
  const row = rows.find((found) => found.subject === subject);
  return row && { failures: row.failures, freeAt: row.freeAt.getTime(), lastAt: row.lastAt.getTime() };
};

const readFailures = (sql: Sql | Transaction, ...subjects: string[]) => sql<Row[]>`
  select subject, failures, case when isfinite(free_at) then free_at else 'epoch' end as "freeAt", last_at as "lastAt"
  from vault.attempts where subject in ${sql(subjects)}`;

const saveFailures = async (tx: Transaction, subject: string, row: Failures): Promise<void> => {
  await tx`
    insert into vault.attempts (subject, failures, free_at, last_at)
    values (${subject}, ${row.failures}, ${isoTime(row.freeAt)}, ${isoTime(row.lastAt)})
    on conflict (subject) do update
      set failures = excluded.failures, free_at = excluded.free_at, last_at = excluded.last_at`;
};

const laneSubject = (account: string, lane: LaneName) => digest('lane', account, lane);

const readLanes = async (tx: Transaction, account: string): Promise<Record<LaneName, number>> => {
  const subjects = { first: laneSubject(account, 'first'), again: laneSubject(account, 'again') };
  const rows = await tx<{ subject: string; nextAt: Date }[]>`
    select subject, next_at as "nextAt" from vault.lanes where subject in ${tx(Object.values(subjects))}`;
  const nextOf = (subject: string) => rows.find((row) => row.subject === subject)?.nextAt.getTime() ?? 0;
  return { first: nextOf(subjects.first), again: nextOf(subjects.again) };
};

const readTurn = async (tx: Transaction, client: string): Promise<number | undefined> => {
  const [row] = await tx<{ dueAt: Date }[]>`
    select due_at as "dueAt" from vault.tickets where subject = ${client}`;
  return row?.dueAt.getTime();
};

/** Writes what was decided about one client's attempt. */
const save = async (
  tx: Transaction,
  account: string,
  client: string,
  admission: Admission,
  turned: boolean,
) => {
  if (admission.lane) {
    const [name, nextAt] = admission.lane;
    await tx`
      insert into vault.lanes (subject, next_at) values (${laneSubject(account, name)}, ${isoTime(nextAt)})
      on conflict (subject) do update set next_at = excluded.next_at`;
  }
  if (!admission.admitted) {
    if (admission.turnAt === undefined) return;
    await tx`
      insert into vault.tickets (subject, due_at) values (${client}, ${isoTime(admission.turnAt)})
      on conflict (subject) do update set due_at = excluded.due_at`;
    return;
  }
  if (turned) await tx`delete from vault.tickets where subject = ${client}`;
  await saveFailures(tx, client, admission.own);
};

/** Any number that no other part of Muster locks, before the account's own: its attempts are decided one by one. */
const lockOf = (account: string): string =>
  Buffer.from(accountSubject(account), 'hex').readBigInt64BE(0).toString();

/** Opens the counters; the vault must be migrated. */
export const openAttempts = (sql: Sql, clock: Clock): Attempts => {
  const knownSince = () => isoTime(clock() - knownForMs);

  const countAddress = async (address: string): Promise<number> => {
    const now = clock();
    const subject = addressSubject(address);
    return transaction(sql, async (tx) => {
      await tx`select pg_advisory_xact_lock(${lockOf(subject)}::bigint)`;
      const row = failuresOf(await readFailures(tx, subject), subject);
      if (row && row.freeAt > now) return row.freeAt - now;
      await saveFailures(tx, subject, oneMore(row, perAddress, now));
      return 0;
    });
  };

  const countClient = (attempt: Attempt): Promise<{ admission: Admission; known: boolean }> =>
    transaction(sql, async (tx) => {
      const { account, solved = false } = attempt;
      await tx`select pg_advisory_xact_lock(${lockOf(account)}::bigint)`;
      const now = clock();
      const { known, client } = await clientsOf(tx, attempt, knownSince());
      const everybody = accountSubject(account);
      const rows = await readFailures(tx, client, everybody);
      const turnAt = await readTurn(tx, client);
      const admission = admit({
        now,
        known,
        solved,
        own: failuresOf(rows, client),
        lanes: await readLanes(tx, account),
        turnAt,
      });
      await save(tx, account, client, admission, turnAt !== undefined);
      if (admission.admitted && !known) {
        const all = oneMore(failuresOf(rows, everybody), perClient, now);
        await saveFailures(tx, everybody, { ...all, freeAt: 0 });
      }
      return { admission, known };
    });

  /** What nobody can need any more. */
  const sweep = async (): Promise<void> => {
    const now = clock();
    await sql`delete from vault.attempts where last_at < ${isoTime(now - forgottenAfterMs)}`;
    await sql`delete from vault.tickets where due_at < ${isoTime(now - forgottenAfterMs)}`;
    await sql`delete from vault.lanes where next_at < ${isoTime(now - forgottenAfterMs)}`;
    await sql`delete from vault.known_clients where last_at < ${knownSince()}`;
  };

  return {
    async standing(attempt) {
      const { known, client } = await clientsOf(sql, attempt, knownSince());
      const everybody = accountSubject(attempt.account);
      const rows = await readFailures(sql, client, everybody);
      const recent = (subject: string): number => {
        const row = failuresOf(rows, subject);
        return row && clock() - row.lastAt < forgottenAfterMs ? row.failures : 0;
      };
      return { known, failures: known ? recent(client) : Math.max(recent(client), recent(everybody)) };
    },
    async begin(attempt) {
      const { program, known } = await clientsOf(sql, attempt, knownSince());
      const pauseMs = program || attempt.trusted ? 0 : await countAddress(attempt.address);
      if (pauseMs > 0) return { waitSeconds: Math.ceil(pauseMs / 1000), known };
      const { admission, known: knownNow } = await countClient(attempt);
      const waitSeconds = admission.admitted ? 0 : Math.max(1, Math.ceil(admission.waitMs / 1000));
      return { waitSeconds, known: knownNow };
    },
    async succeed(attempt) {
      await sweep();
      const { known, program, client } = await clientsOf(sql, attempt, knownSince());
      await sql`delete from vault.attempts where subject = ${client}`;
      const counted = [
        ...(program || attempt.trusted ? [] : [addressSubject(attempt.address)]),
        ...(known ? [] : [accountSubject(attempt.account)]),
      ];
      if (counted.length > 0)
        await sql`
          update vault.attempts set failures = greatest(failures - 1, 0), free_at = 'epoch'
          where subject in ${sql(counted)}`;
    },
    async remember(attempt) {
      const { account, address, clientToken } = attempt;
      const { program } = await clientsOf(sql, attempt, knownSince());
      const token = program && clientToken ? clientToken : `${clientTokenPrefix}${newSecret()}`;
      const subject = accountSubject(account);
      for (const client of [addressClient(address), programClient(token)])
        await sql`
          insert into vault.known_clients (subject, client, last_at)
          values (${subject}, ${client}, ${isoTime(clock())})
          on conflict (subject, client) do update set last_at = excluded.last_at`;
      await sql`
        delete from vault.known_clients where subject = ${subject} and client in (
          select client from vault.known_clients where subject = ${subject}
          order by last_at desc offset ${knownPerAccount})`;
      return token;
    },
  };
};
