/**
 * `muster eventstore backup` writes the whole log, or what follows an earlier backup, to a file or to standard output;
 * `muster eventstore inspect` says what a backup holds and whether it is whole.
 */
import { existsSync } from 'node:fs';
import type { Writable } from 'node:stream';
import { Command } from 'commander';
import { openSource, writeWhole } from '../../embedded/event-store/backup/file.ts';
import { type Mark, markText, parseMark, type Trailer } from '../../embedded/event-store/backup/format.ts';
import { inspectBackup } from '../../embedded/event-store/backup/read.ts';
import { takeBackup } from '../../embedded/event-store/backup/take.ts';
import { withDatabases } from '../../embedded/log-database.ts';
import { MusterError } from '../../platform/errors.ts';
import { readPlace } from './place.ts';
import { openProgress } from './progress.ts';

/** The backup to go on from: a file, whose checksums are verified on the way, or the mark that its backup printed. */
const readMark = async (after: string): Promise<Mark> => {
  const mark = parseMark(after);
  if (mark) return mark;
  if (!existsSync(after)) {
    throw new MusterError('invalid-input', `"${after}" is neither a file nor the mark of a backup.`, {
      field: '--after',
    });
  }
  const { lastPosition, lastEventId, sha256 } = (await inspectBackup(openSource(after))).trailer;
  return { lastPosition, lastEventId, sha256 };
};

/** Standard output belongs to the backup when it goes there; what people read then goes to standard error. */
const openOutput = (file: string) => {
  if (file !== '-') {
    return {
      tell: (text: string) => process.stdout.write(text),
      write: (take: (output: Writable) => Promise<Trailer>) => writeWhole(file, take),
    };
  }
  if (process.stdout.isTTY) {
    throw new MusterError('invalid-input', 'A backup is no text for a terminal; pipe it on.', {
      field: 'file',
    });
  }
  return {
    tell: (text: string) => process.stderr.write(text),
    write: (take: (output: Writable) => Promise<Trailer>) => take(process.stdout),
  };
};

const backup = async (file: string, options: { dataDir?: string; after?: string }): Promise<void> => {
  const { place, log } = readPlace(options);
  const output = openOutput(file);
  const parent = options.after === undefined ? undefined : await readMark(options.after);
  const progress = openProgress('written');
  const trailer = await withDatabases(place, { log }, ({ logUrl }) =>
    output.write((to) => takeBackup(logUrl, to, { parent }, progress.show)),
  );
  progress.end();
  output.tell(
    `${trailer.events} events up to position ${trailer.lastPosition} are backed up.\nGo on from here with --after ${markText(trailer)}\n`,
  );
};

const inspect = async (file: string): Promise<void> => {
  const progress = openProgress('read');
  const { header, trailer } = await inspectBackup(openSource(file), progress.show);
  progress.end();
  process.stdout.write(`${JSON.stringify({ header, trailer, mark: markText(trailer) }, null, 2)}\n`);
};

/** The subcommand, for eventstore.ts. */
export const backupCommand = (): Command =>
  new Command('backup')
    .configureHelp({ showGlobalOptions: true })
    .description(
      'Back up the log as it is at this moment, beside a running server or without one. Encrypt it: it holds personal data.',
    )
    .argument('<file>', 'where to; - is standard output')
    .option('--after <backup>', 'only what follows an earlier backup: its file, or the mark it printed')
    .action((file: string, _options, command: Command) => backup(file, command.optsWithGlobals()));

/** The subcommand, for eventstore.ts. */
export const inspectCommand = (): Command =>
  new Command('inspect')
    .description('Say what a backup holds, and verify all its checksums, without touching any store.')
    .argument('<file>', 'the backup; - is standard input')
    .action((file: string) => inspect(file));
