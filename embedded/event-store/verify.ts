/**
 * Re-reads the whole log and says what is wrong with it: checksums, numbering, pages that PostgreSQL cannot read.
 * Called by `muster eventstore verify`. Reads only, so a store may go on serving meanwhile.
 */
import { MusterError } from '../../platform/errors.ts';
import type { Sql } from '../../platform/sql.ts';
import { checksumOf, type StoredEvent, sizeOf, tombstoneRevision } from './event.ts';

/** One thing that is wrong. `stream` and `revision` are missing where the event itself cannot be read. */
export interface Finding {
  readonly position: bigint;
  readonly stream?: string;
  readonly revision?: bigint;
  readonly problem: string;
}

/** What was read and what was found. `findings` holds the first hundred; `faults` counts all of them. */
export interface Verification {
  readonly events: number;
  /** Payload bytes whose checksums were recomputed, roughly. */
  readonly sizeBytes: number;
  readonly lastPosition: bigint;
  readonly faults: number;
  readonly findings: readonly Finding[];
}

/** Where the reading has come to. */
export type Progress = (read: number, position: bigint, lastPosition: bigint) => void;

interface Row extends Omit<StoredEvent, 'stream'> {
  readonly stream: string | null;
  readonly checksum: number;
}

const maxFindings = 100;
const maxPage = 2_000;
const maxPageBytes = 8 * 1024 * 1024;

/** PostgreSQL's word for a page or an index it cannot make sense of (class XX: data_corrupted, index_corrupted). */
const isDamage = (error: unknown): boolean => /^XX/.test(String((error as { code?: unknown }).code ?? ''));
const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

const readPage = (sql: Sql, from: bigint, to: bigint, limit: number): Promise<Row[]> =>
  sql<Row[]>`
    select e.position, s.name as stream, e.revision, e.created, e.id, e.json, e.type, e.data, e.metadata, e.checksum
    from event_store.events e left join event_store.streams s on s.id = e.stream
    where e.position between ${from.toString()} and ${to.toString()} order by e.position limit ${limit}`;

/** Fewer rows the next time when these were large: a page of events of 1 MiB each must not fill the memory. */
const nextSize = (size: number, bytes: number): number =>
  bytes > maxPageBytes ? Math.max(1, size >> 1) : Math.min(maxPage, size << 1);

const problemOf = (row: Row): string | undefined => {
  if (row.stream === null) return 'its stream has no name';
  return checksumOf({ ...row, stream: row.stream }) === row.checksum
    ? undefined
    : 'its checksum does not agree with what is stored';
};

/** Events whose revision does not follow the one before it in the stream, or lies before it in the log. */
const readMisnumbered = (sql: Sql, to: bigint) =>
  sql<{ position: bigint; stream: string | null; revision: bigint }[]>`
    select e.position, s.name as stream, e.revision
    from (
      select position, stream, revision, lag(revision) over each as before, lag(position) over each as position_before
      from event_store.events where position <= ${to.toString()}
      window each as (partition by stream order by revision)
    ) e left join event_store.streams s on s.id = e.stream
    where e.revision <> coalesce(e.before + 1, 0) and e.revision <> ${tombstoneRevision.toString()}
      or e.position <= e.position_before
    order by e.position`;

/** Verifies everything that is committed at the moment of the call. Rejects only when PostgreSQL cannot be asked. */
export const verifyLog = async (sql: Sql, progress: Progress = () => {}): Promise<Verification> => {
  const findings: Finding[] = [];
  let faults = 0;
  const report = (finding: Finding): void => {
    faults += 1;
    if (findings.length < maxFindings) findings.push(finding);
  };
  const [table] = await sql<
    { found: string | null }[]
  >`select to_regclass('event_store.events')::text as found`;
  if (!table?.found) {
    throw new MusterError(
      'config-invalid',
      'This database holds no event log; check MUSTER_DATA_DIR and DATABASE_URL.',
    );
  }
  const [end] = await sql<{ last: bigint | null }[]>`select max(position) as last from event_store.events`;
  const lastPosition = end?.last ?? 0n;
  let events = 0;
  let sizeBytes = 0;
  let size = 128;
  for (let from = 0n; from <= lastPosition; ) {
    let rows: Row[];
    try {
      rows = await readPage(sql, from, lastPosition, size);
    } catch (error) {
      if (!isDamage(error)) throw error;
      // Narrows down to the one event, and goes on behind it: what is whole is still worth knowing.
      if (size > 1) size >>= 1;
      else {
        report({ position: from, problem: messageOf(error) });
        from += 1n;
      }
      continue;
    }
    for (const row of rows) {
      const problem = problemOf(row);
      if (problem === undefined) continue;
      report({
        position: row.position,
        ...(row.stream === null ? {} : { stream: row.stream }),
        revision: row.revision,
        problem,
      });
    }
    const bytes = rows.reduce((sum, row) => sum + sizeOf(row), 0);
    events += rows.length;
    sizeBytes += bytes;
    from = (rows.at(-1)?.position ?? lastPosition) + 1n;
    size = nextSize(size, bytes);
    progress(events, from - 1n, lastPosition);
  }
  try {
    for (const row of await readMisnumbered(sql, lastPosition)) {
      report({
        position: row.position,
        ...(row.stream === null ? {} : { stream: row.stream }),
        revision: row.revision,
        problem: 'it does not follow the event before it in its stream',
      });
    }
  } catch (error) {
    if (!isDamage(error)) throw error;
    report({ position: 0n, problem: `the numbering could not be checked: ${messageOf(error)}` });
  }
  return { events, sizeBytes, lastPosition, faults, findings };
};
