/**
 * Takes a backup: the log as one snapshot sees it, over one connection, in log order. A server may go on writing.
 * Called by `muster eventstore backup`.
 */
import { createHash } from 'node:crypto';
import { Readable, type Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import type pg from 'pg';
import { to as copyTo } from 'pg-copy-streams';
import { MusterError } from '../../../platform/errors.ts';
import { clientFor } from '../../postgres/client.ts';
import { layout, storeIdDdl } from '../schema.ts';
import {
  batchHeadBytes,
  eventColumns,
  frame,
  type Header,
  jsonFrame,
  type Mark,
  preamble,
  scavengedColumns,
  streamColumns,
  type Trailer,
} from './format.ts';
import { type Batch, batchesOf, lastIdOf } from './tuples.ts';

const batchBytes = 1024 * 1024;
/** Rows are JSON and ids: more effort than this costs far more time than it saves space. */
const compression = { level: 3 } as const;
const zip = promisify(gzip);

interface Store {
  readonly id: string;
  readonly layout: number;
  /** ISO 8601, to the microsecond. */
  readonly created: string;
}

const findStore = async (client: pg.Client): Promise<Store> => {
  const { rows } = await client.query<{ found: string | null }>(
    `select to_regclass('event_store.store')::text as found`,
  );
  if (!rows[0]?.found) {
    throw new MusterError(
      'config-invalid',
      'This database holds no event log; check MUSTER_DATA_DIR and DATABASE_URL.',
    );
  }
  await client.query(storeIdDdl);
  const store = await client.query<Store>(
    `select id, layout, to_char(created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as created
     from event_store.store`,
  );
  const found = store.rows[0] as Store;
  if (found.layout !== layout) {
    throw new MusterError(
      'config-invalid',
      `The event store on disk has layout ${found.layout}; this version of Muster reads layout ${layout}.`,
    );
  }
  return found;
};

/** The increment must go on from the very log its parent is of: not another one, not one restored from before it. */
const requireParent = async (client: pg.Client, { lastPosition, lastEventId }: Mark): Promise<void> => {
  const { rows } = await client.query<{ id: string }>(
    `select id from event_store.events where position = $1`,
    [lastPosition],
  );
  if (rows[0]?.id === lastEventId) return;
  throw new MusterError(
    'backup-mismatched',
    `This log does not hold event ${lastEventId} at position ${lastPosition}, where the backup to go on from ends.`,
  );
};

const describe = async (client: pg.Client, store: Store, parent: Mark | null): Promise<Header> => {
  if (parent) await requireParent(client, parent);
  const after = parent?.lastPosition ?? '-1';
  const { rows } = await client.query<{ first: string | null; last: string | null }>(
    `select min(position) as first, max(position) as last from event_store.events where position > $1`,
    [after],
  );
  const last = rows[0]?.last ?? parent?.lastPosition ?? '0';
  return {
    created: new Date().toISOString(),
    storeId: store.id,
    storeCreated: store.created,
    layout: store.layout,
    eventColumns,
    streamColumns,
    scavengedColumns,
    compression: 'gzip',
    firstPosition: rows[0]?.first ?? last,
    lastPosition: last,
    parent,
  };
};

/** Rows of `query` in batches; the connection is paused while nobody wants more. */
const copyOut = (client: pg.Client, query: string): AsyncGenerator<Batch> =>
  batchesOf(client.query(copyTo(`copy (${query}) to stdout (format binary)`)), batchBytes);

const batchFrame = async (kind: 'streams' | 'scavenged' | 'events', { rows, count, first, last }: Batch) => {
  const head = Buffer.alloc(batchHeadBytes);
  head.writeUInt32BE(count, 0);
  head.writeBigInt64BE(first, 4);
  head.writeBigInt64BE(last, 12);
  return frame(kind, head, await zip(rows, compression));
};

type Progress = (events: number, position: bigint, lastPosition: bigint) => void;

/** Everything a backup consists of; `done` is told the trailer. */
async function* encode(
  client: pg.Client,
  header: Header,
  progress: Progress,
  done: (trailer: Trailer) => void,
): AsyncGenerator<Buffer> {
  const sum = createHash('sha256');
  const summed = (bytes: Buffer): Buffer => {
    sum.update(bytes);
    return bytes;
  };
  yield summed(preamble());
  for (const bytes of jsonFrame('header', header)) yield summed(bytes);
  // Positions are integers of ours or of a checked header: safe within a statement that takes no parameters.
  const after = BigInt(header.parent?.lastPosition ?? -1);
  const fresh = header.parent
    ? `where id in (select stream from event_store.events where position > ${after} union all select stream from event_store.scavenged)`
    : '';
  const counted = { streams: 0, scavenged: 0, events: 0 };
  let lastEventId = header.parent?.lastEventId ?? '';
  for await (const batch of copyOut(
    client,
    `select ${streamColumns} from event_store.streams ${fresh} order by id`,
  )) {
    counted.streams += batch.count;
    for (const bytes of await batchFrame('streams', batch)) yield summed(bytes);
  }
  // Whole, in an increment too: what was removed since may be of any age.
  for await (const batch of copyOut(
    client,
    `select ${scavengedColumns} from event_store.scavenged order by stream`,
  )) {
    counted.scavenged += batch.count;
    for (const bytes of await batchFrame('scavenged', batch)) yield summed(bytes);
  }
  for await (const batch of copyOut(
    client,
    `select ${eventColumns} from event_store.events where position > ${after} order by position`,
  )) {
    counted.events += batch.count;
    lastEventId = lastIdOf(batch);
    for (const bytes of await batchFrame('events', batch)) yield summed(bytes);
    progress(counted.events, batch.last, BigInt(header.lastPosition));
  }
  const { lastPosition } = header;
  const trailer = { ...counted, lastPosition, lastEventId, sha256: sum.digest('hex') };
  yield* jsonFrame('trailer', trailer);
  done(trailer);
}

/**
 * Writes a backup of the log in the database of `databaseUrl` to `output`, which it ends: all of the log, or what
 * follows `parent`. Answers the trailer. Throws `config-invalid` where there is no log, `backup-mismatched` when the log
 * does not go on from `parent`, PostgreSQL's error when it cannot be read, and whatever `output` fails with.
 */
export const takeBackup = async (
  databaseUrl: string,
  output: Writable,
  options: { parent?: Mark | undefined } = {},
  progress: Progress = () => {},
): Promise<Trailer> => {
  const client = clientFor(databaseUrl, 'muster-event-store-backup');
  const lost = new Promise<never>((_, reject) => {
    client.on('error', reject);
  });
  lost.catch(() => {});
  try {
    await client.connect();
    const store = await findStore(client);
    await client.query('begin isolation level repeatable read read only');
    // In log order from the index: a sort would write the log to disk once more before the first row comes.
    await client.query('set local enable_seqscan = off; set local enable_sort = off');
    const header = await describe(client, store, options.parent ?? null);
    let trailer: Trailer | undefined;
    const encoded = Readable.from(
      encode(client, header, progress, (told) => {
        trailer = told;
      }),
      { objectMode: true, highWaterMark: 4 },
    );
    await Promise.race([pipeline(encoded, output), lost]);
    return trailer as unknown as Trailer;
  } finally {
    await client.end().catch(() => {});
  }
};
