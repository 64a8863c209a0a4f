/**
 * Re-reads the whole log and says what is wrong with it: checksums, numbering, pages that PostgreSQL cannot read.
 * Called by `muster eventstore verify`. Reads only, so a store may go on serving meanwhile, and a scavenge too.
 */
import type { Sql } from '../../platform/sql.ts';
import { checksumOf, type StoredEvent, sizeOf, tombstoneRevision } from './event.ts';
import { expectLog, hasTable, isDamage, withoutHoles } from './log-table.ts';
import { type Names, openNames } from './verify-names.ts';
import { countMissing, readMisnumbered } from './verify-numbering.ts';

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

/** Where the reading has come to. The last position is unknown while the page that holds it cannot be read. */
export type Progress = (read: number, position: bigint, lastPosition: bigint | undefined) => void;

interface Row extends Omit<StoredEvent, 'stream'> {
  readonly stream: bigint;
  readonly checksum: number;
}

type Report = (finding: Finding) => void;

const maxFindings = 100;
const maxPage = 2_000;
const maxPageBytes = 8 * 1024 * 1024;
/** Far more than one damaged page holds: so many failures in a row mean that the index is gone. */
const maxUnreadableInARow = 10_000;

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** Damage becomes a finding at `position`; anything else is thrown on. */
const asFinding = (error: unknown, position: bigint, what: string): Finding => {
  if (!isDamage(error)) throw error;
  return { position, problem: `${what}${messageOf(error)}` };
};

const readPage = (sql: Sql, from: bigint, to: bigint, limit: number): Promise<Row[]> =>
  sql<Row[]>`
    select position, stream, revision, created, id, json, type, data, metadata, checksum
    from event_store.events
    where position between ${from.toString()} and ${to.toString()} order by position limit ${limit}`;

/** Fewer rows the next time when these were large: a page of events of 1 MiB each must not fill the memory. */
const nextSize = (size: number, bytes: number): number =>
  bytes > maxPageBytes ? Math.max(1, size >> 1) : Math.min(maxPage, size << 1);

/** Pages of events up to `to`, around those that cannot be read, which are reported. */
async function* readEvents(sql: Sql, to: bigint, report: Report): AsyncGenerator<Row[]> {
  let size = 128;
  let unreadable = 0;
  for (let from = 0n; from <= to; ) {
    let rows: Row[];
    try {
      rows = withoutHoles(await readPage(sql, from, to, size));
    } catch (error) {
      const finding = asFinding(error, from, '');
      // Narrows down to the one event, and goes on behind it: what is whole is still worth knowing.
      if (size > 1) {
        size >>= 1;
        continue;
      }
      report(finding);
      unreadable += 1;
      from += 1n;
      if (unreadable < maxUnreadableInARow) continue;
      report({ position: from, problem: `nothing behind ${unreadable} unreadable events was looked at` });
      return;
    }
    const last = rows.at(-1);
    if (!last) return;
    yield rows;
    unreadable = 0;
    from = last.position + 1n;
    size = nextSize(
      size,
      rows.reduce((sum, row) => sum + sizeOf(row), 0),
    );
  }
}

/** The last position; `undefined`, and a finding, when the page that holds it cannot be read. */
const readLast = async (sql: Sql, report: Report): Promise<bigint | undefined> => {
  try {
    const [end] = await sql<{ last: bigint | null }[]>`select max(position) as last from event_store.events`;
    return end?.last ?? 0n;
  } catch (error) {
    report(asFinding(error, 0n, 'the end of the log cannot be read: '));
    return undefined;
  }
};

const placeOf = (row: Pick<Row, 'position' | 'stream' | 'revision'>, names: Names) => {
  const name = names.of(row.stream);
  return {
    position: row.position,
    ...(typeof name === 'string' ? { stream: name } : {}),
    revision: row.revision,
  };
};

const checkRow = (row: Row, names: Names, report: Report): void => {
  const name = names.of(row.stream);
  if (typeof name !== 'string') report({ ...placeOf(row, names), ...name });
  else if (checksumOf({ ...row, stream: name }) !== row.checksum)
    report({ ...placeOf(row, names), problem: 'its checksum does not agree with what is stored' });
};

const checkNumbering = async (sql: Sql, names: Names, last: bigint, report: Report): Promise<void> => {
  const hasRecord = await hasTable(sql, 'scavenged');
  try {
    const misnumbered = withoutHoles(await readMisnumbered(sql, hasRecord));
    await names.load(misnumbered.map((row) => row.stream));
    for (const row of misnumbered)
      report({
        ...placeOf(row, names),
        problem: 'it does not follow the event before it in its stream',
      });
    const named = misnumbered.reduce((sum, row) => sum + row.gap, 0n);
    const missing = (await countMissing(sql, hasRecord)) - named;
    if (missing !== 0n)
      report({
        position: last,
        problem:
          missing > 0n
            ? `events missing from the log that no scavenge has removed: ${missing}`
            : `events recorded as removed by a scavenge that are still there, or are missing at the end of the log: ${-missing}`,
      });
  } catch (error) {
    report(asFinding(error, 0n, 'the numbering could not be checked: '));
  }
};

/** Verifies everything that is committed at the moment of the call. Rejects only when PostgreSQL cannot be asked. */
export const verifyLog = async (sql: Sql, progress: Progress = () => {}): Promise<Verification> => {
  const findings: Finding[] = [];
  let faults = 0;
  const report: Report = (finding) => {
    faults += 1;
    if (findings.length < maxFindings) findings.push(finding);
  };
  await expectLog(sql);
  const last = await readLast(sql, report);
  const names = openNames(sql);
  let events = 0;
  let sizeBytes = 0;
  let lastRead = 0n;
  for await (const rows of readEvents(sql, last ?? tombstoneRevision - 1n, report)) {
    await names.load(rows.map((row) => row.stream));
    for (const row of rows) checkRow(row, names, report);
    events += rows.length;
    sizeBytes += rows.reduce((sum, row) => sum + sizeOf(row), 0);
    lastRead = (rows.at(-1) as Row).position;
    progress(events, lastRead, last);
  }
  const lastPosition = last ?? lastRead;
  await checkNumbering(sql, names, lastPosition, report);
  return { events, sizeBytes, lastPosition, faults, findings };
};
