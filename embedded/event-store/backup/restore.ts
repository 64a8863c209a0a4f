/**
 * Restores a log from a backup and its increments: into a schema of its own beside the log, which takes the log's place
 * in one transaction once all of it has been read and verified. Called by `muster eventstore restore`.
 */
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type pg from 'pg';
import { from as copyFrom } from 'pg-copy-streams';
import { MusterError } from '../../../platform/errors.ts';
import { openSql, type Sql, type Transaction, transaction } from '../../../platform/sql.ts';
import { clientFor } from '../../postgres/client.ts';
import { ddl, layout, writerLock } from '../schema.ts';
import { type Progress, verifyLog } from '../verify.ts';
import {
  eventColumns,
  type Header,
  type Mark,
  scavengedColumns,
  streamColumns,
  type Trailer,
} from './format.ts';
import { type Part, readBackup } from './read.ts';
import { type Batch, copyEnd, copyStart, renumber } from './tuples.ts';

const staging = 'event_store_restoring';
const replaced = 'event_store_replaced';

/** A log: its name for good, and where it ends. */
export interface LogState {
  readonly storeId: string;
  readonly lastPosition: bigint;
}

/** Others with a say in a restore. Both may throw, and nothing has changed then. */
export interface Readers {
  /** Asked first: whether what follows the log can follow `restored` instead of `present` (undefined: no log). */
  admit(restored: LogState, present: LogState | undefined): Promise<void>;
  /** Told last, just before the restored log takes its place. */
  prepare(restored: LogState): Promise<void>;
}

/** What a restore did. */
export interface Restored extends LogState {
  readonly events: number;
}

const mismatched = (problem: string): MusterError => new MusterError('backup-mismatched', problem);

const takeWriterLock = async (client: pg.Client): Promise<void> => {
  const { rows } = await client.query<{ ok: boolean }>('select pg_try_advisory_lock($1) as ok', [writerLock]);
  if (rows[0]?.ok) return;
  throw new MusterError(
    'data-dir-in-use',
    'An event store writes to this database; stop it before a restore.',
  );
};

const exists = async (client: pg.Client, table: string): Promise<boolean> => {
  const { rows } = await client.query<{ found: string | null }>('select to_regclass($1)::text as found', [
    table,
  ]);
  return Boolean(rows[0]?.found);
};

const findPresent = async (client: pg.Client): Promise<LogState | undefined> => {
  if (!(await exists(client, 'event_store.events'))) return undefined;
  const { rows } = await client.query<{ id: string | null; last: string | null }>(
    `select (select to_jsonb(s) ->> 'id' from event_store.store s) as id,
       (select max(position) from event_store.events) as last`,
  );
  const last = rows[0]?.last;
  return last ? { storeId: rows[0]?.id ?? '', lastPosition: BigInt(last) } : undefined;
};

const isSame = (a: Mark | null, b: Mark): boolean =>
  a?.lastPosition === b.lastPosition && a.sha256 === b.sha256;

/** Refuses a header that does not go on from the backup before it. */
const checkChain = (header: Header, first: Header | undefined, before: Trailer | undefined): void => {
  if (
    header.layout !== layout ||
    header.eventColumns !== eventColumns ||
    header.streamColumns !== streamColumns ||
    header.scavengedColumns !== scavengedColumns
  ) {
    throw mismatched(`It is of layout ${header.layout}; this version of Muster restores layout ${layout}.`);
  }
  if (!before) {
    if (header.parent) {
      throw mismatched(
        `It is an increment that goes on from position ${header.parent.lastPosition}; name the backup it goes on from before it.`,
      );
    }
    return;
  }
  if (header.storeId !== first?.storeId) throw mismatched(`It is of another log (${header.storeId}).`);
  if (!header.parent) throw mismatched('It is a whole backup; only increments may follow the first file.');
  if (!isSame(header.parent, before)) {
    throw mismatched(
      `It goes on from the backup that ends at position ${header.parent.lastPosition} (${header.parent.sha256}), and the one before it ends at ${before.lastPosition} (${before.sha256}).`,
    );
  }
};

/** An iteration that is looked at before it is taken. */
const lookAhead = async (parts: AsyncGenerator<Part>) => {
  let present = await parts.next();
  return {
    kind: (): Part['kind'] | undefined => (present.done ? undefined : present.value.kind),
    take: async (): Promise<Part> => {
      const taken = present.value as Part;
      present = await parts.next();
      return taken;
    },
  };
};
type Parts = Awaited<ReturnType<typeof lookAhead>>;

/** Copies the rows of all parts of one kind that come next. */
const copyIn = async (
  client: pg.Client,
  parts: Parts,
  kind: 'streams' | 'scavenged' | 'events',
  into: string,
  each: (batch: Batch) => void = () => {},
): Promise<void> => {
  const bytes = async function* () {
    yield copyStart;
    while (parts.kind() === kind) {
      const part = await parts.take();
      if (part.kind === 'header' || part.kind === 'trailer') return;
      each(part.batch);
      yield part.batch.rows;
    }
    yield copyEnd;
  };
  const copy = client.query(copyFrom(`copy ${into} from stdin (format binary)`));
  await pipeline(Readable.from(bytes(), { objectMode: true, highWaterMark: 2 }), copy);
};

/**
 * Adds the streams that came to `incoming`, and answers those whose number means another stream already: a store may
 * give the number of a stream that is gone to a new one between two backups.
 */
const adoptStreams = async (client: pg.Client): Promise<ReadonlyMap<bigint, bigint>> => {
  await client.query(`
    insert into ${staging}.streams (id, name) select i.id, i.name from incoming i
      where not exists (select from ${staging}.streams s where s.name = i.name or s.id = i.id);
    insert into ${staging}.streams (id, name)
      select (select max(id) from (select id from ${staging}.streams union all select id from incoming) m)
        + row_number() over (order by i.id), i.name
      from incoming i where not exists (select from ${staging}.streams s where s.name = i.name)`);
  const { rows } = await client.query<{ was: string; is: string }>(
    `select i.id as was, s.id as is from incoming i join ${staging}.streams s on s.name = i.name where s.id <> i.id`,
  );
  return new Map(rows.map(({ was, is }) => [BigInt(was), BigInt(is)]));
};

/** Each backup says of all streams what had been scavenged of them when it was taken: the last one counts. */
const adoptScavenged = async (client: pg.Client): Promise<void> => {
  await client.query(`
    delete from ${staging}.scavenged;
    insert into ${staging}.scavenged (stream, first, events)
      select s.id, g.first, g.events from incoming_scavenged g
      join incoming i on i.id = g.stream join ${staging}.streams s on s.name = i.name`);
};

/** Removes what was scavenged after an earlier backup of the chain was taken; answers how many events that were. */
const scavengeAgain = async (client: pg.Client): Promise<number> => {
  const { rowCount } = await client.query(
    `delete from ${staging}.events e using ${staging}.scavenged g where e.stream = g.stream and e.revision < g.first`,
  );
  return rowCount ?? 0;
};

/** Loads what follows a header, up to the trailer. */
const load = async (
  client: pg.Client,
  parts: Parts,
  header: Header,
  progress: Progress,
): Promise<Trailer> => {
  await client.query(
    `drop table if exists incoming, incoming_scavenged;
     create temporary table incoming (id bigint primary key, name text collate "C" not null);
     create temporary table incoming_scavenged (stream bigint primary key, first bigint not null, events bigint not null)`,
  );
  await copyIn(client, parts, 'streams', `incoming (${streamColumns})`);
  const numbers = await adoptStreams(client);
  await copyIn(client, parts, 'scavenged', `incoming_scavenged (${scavengedColumns})`);
  await adoptScavenged(client);
  let events = 0;
  await copyIn(client, parts, 'events', `${staging}.events (${eventColumns})`, (batch) => {
    renumber(batch.rows, numbers);
    events += batch.count;
    progress(events, batch.last, BigInt(header.lastPosition));
  });
  const last = await parts.take();
  if (last.kind !== 'trailer') throw new MusterError('backup-damaged', 'It does not end with its trailer.');
  return last.trailer;
};

const createStaging = async (client: pg.Client): Promise<void> => {
  await client.query('set client_min_messages = warning');
  await client.query(`drop schema if exists ${staging} cascade`);
  await client.query(ddl.replaceAll('event_store', staging));
};

/** The log keeps its name and its age. */
const writeStore = (client: pg.Client, { storeId, storeCreated }: Header): Promise<unknown> =>
  client.query(`update ${staging}.store set id = $1, created_at = $2`, [storeId, storeCreated]);

/** Users are no part of the log, nor of a backup: those of the store stay. */
const keepUsers = async (tx: Transaction): Promise<void> => {
  const [found] = await tx`select to_regclass(${`${replaced}.users`}) as name`;
  if (found?.['name']) await tx.unsafe(`insert into event_store.users select * from ${replaced}.users`);
};

/** Puts the restored log in place of the present one, verified as it will be read; or changes nothing. */
const swap = (sql: Sql, restored: Restored, progress: Progress): Promise<void> =>
  transaction(sql, async (tx) => {
    const [present] = await tx`select from pg_namespace where nspname = 'event_store'`;
    if (present) await tx.unsafe(`alter schema event_store rename to ${replaced}`);
    await tx.unsafe(`alter schema ${staging} rename to event_store`);
    const found = await verifyLog(tx as unknown as Sql, progress);
    const [finding] = found.findings;
    if (finding) {
      throw new MusterError(
        'backup-damaged',
        `It was taken from a damaged log: ${found.faults} faults, the first at position ${finding.position}: ${finding.problem}.`,
      );
    }
    if (found.events !== restored.events || found.lastPosition !== restored.lastPosition) {
      throw new MusterError(
        'backup-damaged',
        `${restored.events} events up to position ${restored.lastPosition} were read, ${found.events} up to ${found.lastPosition} are stored.`,
      );
    }
    if (present) await keepUsers(tx);
    if (present) await tx.unsafe(`drop schema ${replaced} cascade`);
  });

/** What has been read of a chain so far. */
interface Chain {
  readonly first?: Header;
  readonly last?: Trailer;
  readonly events: number;
}

const loadAll = async (
  client: pg.Client,
  sources: readonly (() => AsyncIterable<Buffer>)[],
  admit: (header: Header) => Promise<void>,
  progress: Progress,
): Promise<Restored> => {
  let chain: Chain = { events: 0 };
  for (const [index, open] of sources.entries()) {
    const generator = readBackup(open());
    try {
      const parts = await lookAhead(generator);
      const part = await parts.take();
      if (part.kind !== 'header')
        throw new MusterError('backup-damaged', 'It does not begin with its header.');
      checkChain(part.header, chain.first, chain.last);
      if (index === sources.length - 1) await admit(part.header);
      if (index === 0) await createStaging(client);
      const trailer = await load(client, parts, part.header, progress);
      chain = { first: chain.first ?? part.header, last: trailer, events: chain.events + trailer.events };
    } finally {
      await generator.return(undefined);
    }
  }
  const { first, last, events } = chain;
  if (!first || !last) throw new MusterError('invalid-input', 'No backup was named.', { field: 'file' });
  await writeStore(client, first);
  const scavenged = await scavengeAgain(client);
  await client.query(`analyze ${staging}.streams, ${staging}.events`);
  return { storeId: first.storeId, lastPosition: BigInt(last.lastPosition), events: events - scavenged };
};

/**
 * Restores the chain of backups that `sources` open, base first, into the database of `databaseUrl`. At any moment,
 * whatever dies, the database holds the log that was there, or all of the restored one. Throws `data-dir-in-use` beside
 * a writer, `log-exists` over another log without `replace`, `backup-mismatched`, `backup-damaged`, and what `readers`
 * throw.
 */
export const restoreLog = async (
  databaseUrl: string,
  sources: readonly (() => AsyncIterable<Buffer>)[],
  options: { replace: boolean; readers: Readers },
  progress: { load?: Progress; verify?: Progress } = {},
): Promise<Restored> => {
  const client = clientFor(databaseUrl, 'muster-event-store-restore');
  // Whatever is asked of a lost connection rejects by itself.
  client.on('error', () => {});
  const sql = openSql(databaseUrl, { max: 1, applicationName: 'muster-event-store-restore' });
  try {
    await client.connect();
    await takeWriterLock(client);
    const present = await findPresent(client);
    if (present && !options.replace) {
      throw new MusterError('log-exists', `It ends at position ${present.lastPosition}.`);
    }
    const admit = ({ storeId, lastPosition }: Header): Promise<void> =>
      options.readers.admit({ storeId, lastPosition: BigInt(lastPosition) }, present);
    const restored = await loadAll(client, sources, admit, progress.load ?? (() => {}));
    await options.readers.prepare(restored);
    await swap(sql, restored, progress.verify ?? (() => {}));
    return restored;
  } finally {
    // Gone already when the restore succeeded; what is left of a failed one helps nobody and holds personal data.
    await client.query(`drop schema if exists ${staging} cascade`).catch(() => {});
    await client.end().catch(() => {});
    await sql.end({ timeout: 2 });
  }
};
