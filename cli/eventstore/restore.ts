/**
 * `muster eventstore restore`: the log from a backup and its increments, unless read models or workers have come further
 * than the restored log reaches.
 */
import { Command } from 'commander';
import { openSource } from '../../embedded/event-store/backup/file.ts';
import { inspectBackup } from '../../embedded/event-store/backup/read.ts';
import {
  type LogState,
  type Readers,
  type Restored,
  restoreLog,
} from '../../embedded/event-store/backup/restore.ts';
import { withDatabases } from '../../embedded/log-database.ts';
import { MusterError } from '../../platform/errors.ts';
import { logBehind } from '../../platform/log-end.ts';
import { forgetSnapshots } from '../../platform/snapshots.ts';
import { openSql, type Sql } from '../../platform/sql.ts';
import { dropReadModels, readModelsPosition } from '../../projections/reset.ts';
import { forgetWorkersPosition, rewindWorkers, workersPosition } from '../../workers/rewind.ts';
import { findRunning } from '../running.ts';
import { readPlace } from './place.ts';
import { openProgress } from './progress.ts';

interface Options {
  readonly dataDir?: string;
  readonly replace?: boolean;
  readonly resetReadModels?: boolean;
}

/** Who follows the log in the database of `sql`, and how far each has come. */
const checkpointsOf = async (sql: Sql): Promise<readonly (readonly [string, bigint | undefined])[]> => [
  ['the read models', await readModelsPosition(sql)],
  ['the workers', await workersPosition(sql)],
];

const isOtherLog = (restored: LogState, present: LogState | undefined): boolean =>
  present !== undefined && present.storeId !== restored.storeId;

/**
 * What Muster derived from the log, kept in the database of `sql`. Positions of another log mean nothing here, and those
 * beyond the end of an older one would be skipped: both are refused unless they may be forgotten.
 */
const derivedReaders = (sql: Sql, mayReset: boolean): Readers => {
  let isOther = false;
  return {
    admit: async (restored, present) => {
      isOther = isOtherLog(restored, present);
      if (mayReset) return;
      for (const [reader, position] of await checkpointsOf(sql)) {
        if (position === undefined) continue;
        if (position > restored.lastPosition) throw logBehind(reader, position, restored.lastPosition);
        if (isOther) {
          throw new MusterError(
            'log-behind-readers',
            `The backup is of log ${restored.storeId}, but ${reader} were made from log ${present?.storeId}.`,
          );
        }
      }
    },
    prepare: async ({ lastPosition }) => {
      await forgetSnapshots(sql);
      if (!mayReset) return;
      await dropReadModels(sql);
      await (isOther ? forgetWorkersPosition(sql) : rewindWorkers(sql, lastPosition));
    },
  };
};

/** Reads every file once before anything is started; standard input can be read only once, when it is restored. */
const inspectAll = async (files: readonly string[]): Promise<void> => {
  if (files.length > 1 && files.includes('-'))
    throw new MusterError('invalid-input', 'Standard input can only be restored alone.', { field: 'file' });
  for (const file of files) {
    if (file === '-') continue;
    const progress = openProgress('read');
    await inspectBackup(openSource(file), progress.show).catch((error: unknown) => {
      if (!(error instanceof MusterError)) throw error;
      throw new MusterError(error.code, `${file}: ${error.message}`, { cause: error });
    });
    progress.end();
  }
};

/**
 * Restores `files` in order into the database of the configuration, or into a data folder that no server runs on.
 * Throws as `restoreLog` does, and `log-behind-readers`.
 */
export const restore = async (files: readonly string[], options: Options): Promise<Restored> => {
  const { place, log } = readPlace(options);
  const running = findRunning(place.dataDir);
  if (running) {
    throw new MusterError(
      'data-dir-in-use',
      `Process ${running.pid} serves ${place.dataDir} at ${running.url}.`,
    );
  }
  await inspectAll(files);
  return withDatabases({ ...place, mayCreate: true }, { log }, async ({ logUrl, musterUrl }) => {
    const sql = openSql(musterUrl, { max: 1, applicationName: 'muster-restore' });
    const loading = openProgress('restored');
    const verifying = openProgress('verified');
    try {
      return await restoreLog(
        logUrl,
        files.map((file) => () => openSource(file)),
        {
          replace: options.replace ?? false,
          readers: derivedReaders(sql, options.resetReadModels ?? false),
        },
        { load: loading.show, verify: verifying.show },
      );
    } finally {
      loading.end();
      verifying.end();
      await sql.end({ timeout: 2 });
    }
  });
};

const run = async (files: readonly string[], options: Options): Promise<void> => {
  const { events, lastPosition } = await restore(files, options);
  process.stdout.write(`${events} events up to position ${lastPosition} are restored and verified.\n`);
};

/** The subcommand, for eventstore.ts. */
export const restoreCommand = (): Command =>
  new Command('restore')
    .configureHelp({ showGlobalOptions: true })
    .description('Restore the log from a backup, then its increments in order, while no server runs.')
    .argument('<file...>', 'the whole backup first; - is standard input')
    .option('--replace', 'put it in place of the log that is there, once it is complete and verified')
    .option(
      '--reset-read-models',
      'forget read models made from a newer or another log; the next start rebuilds them',
    )
    .action((files: string[], _options, command: Command) => run(files, command.optsWithGlobals()));
