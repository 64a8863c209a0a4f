/**
 * What each line of the feed does to the table. Called by feed.ts with every line of one connection.
 *
 * A line counts only with the server's signature, this connection's nonce, the next number and the position the table is
 * at: a batch that is repeated, left out, of another connection or of an older time ends the connection instead. The parts
 * of a snapshot fill a new table, which replaces the old one with the last part, so that a broken connection never leaves
 * half a table.
 */
import type { Clock } from '../platform/clock.ts';
import { openLine } from '../platform/signed-line.ts';
import { type Batch, fill, readBatch } from './batch.ts';
import type { ServerKey } from './server-key.ts';
import { type KnownVerdicts, nothingKnown, openTable, type Table } from './table.ts';

/** Told of every good line, for the disk. */
export interface Journal {
  /** A snapshot begins: its parts replace the file once `completed` is called. */
  readonly begin: () => void;
  readonly part: (line: string) => void;
  readonly completed: () => void;
  /** A line that follows what is known; a snapshot that was begun has come to nothing. */
  readonly follow: (line: string, isChange: boolean) => void;
}

export interface ReceiverParts {
  readonly known: KnownVerdicts;
  readonly clock: Clock;
  readonly serverKey: ServerKey;
  readonly journal: Journal;
  /** Told after every change: the EAS ids concerned, undefined for all of them. */
  readonly onVerdicts: (easIds: readonly string[] | undefined) => void;
}

/** Takes the lines of one connection in order; throws on a line that breaks the contract. */
export const openReceiver = (
  { known, clock, serverKey, journal, onVerdicts }: ReceiverParts,
  nonce: string,
): ((line: string) => void) => {
  let staging: Table | null = null;
  let seq = 0;

  /** A proxy that was registered anew elsewhere forgets what it knew: that is another tenant's. */
  const requireTenant = ({ tenantId }: Batch): void => {
    if (known.tenantId === null || known.tenantId === tenantId) return;
    Object.assign(known, { ...nothingKnown(), connected: known.connected });
    onVerdicts(undefined);
    throw new Error('the proxy now belongs to another tenant');
  };
  const open = (line: string): Batch => {
    const key = serverKey.key();
    const text = key === null ? null : openLine(key, line);
    if (text === null) throw new Error('a batch is not signed by the server');
    const batch = readBatch(text);
    if (batch.nonce !== nonce) throw new Error('a batch is of another connection');
    if (batch.seq !== seq) throw new Error('a batch was repeated or left out');
    requireTenant(batch);
    seq += 1;
    return batch;
  };
  const confirm = (batch: Batch): void => {
    known.tenantId = batch.tenantId;
    known.position = batch.position;
    known.staleRule = batch.staleRule;
    known.learns = batch.learns;
    known.contactAt = clock();
  };
  const onSnapshot = (batch: Batch, line: string): void => {
    if (staging === null) {
      staging = openTable();
      journal.begin();
    }
    fill(staging, batch.verdicts);
    journal.part(line);
    if (batch.snapshot !== 'last') return;
    const isOlder = known.position !== null && BigInt(batch.position) < BigInt(known.position);
    if (isOlder && batch.reset !== true) throw new Error('a snapshot is older than what is known');
    known.table = staging;
    staging = null;
    confirm(batch);
    journal.completed();
    onVerdicts(undefined);
  };
  const onChanges = (batch: Batch, line: string): void => {
    if (staging !== null || batch.from === null || batch.from !== known.position)
      throw new Error('a batch does not follow what is known');
    if (BigInt(batch.position) < BigInt(batch.from)) throw new Error('a batch goes back');
    const changed = fill(known.table, batch.verdicts);
    const isChange =
      batch.from !== batch.position || known.staleRule !== batch.staleRule || known.learns !== batch.learns;
    confirm(batch);
    journal.follow(line, isChange || batch.verdicts.length > 0);
    if (batch.verdicts.length > 0) onVerdicts(changed);
  };

  return (line) => {
    const batch = open(line);
    if (batch.snapshot === undefined) onChanges(batch, line);
    else onSnapshot(batch, line);
  };
};
