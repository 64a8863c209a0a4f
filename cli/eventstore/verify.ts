/**
 * `muster eventstore verify`: re-reads the whole log and names what is damaged.
 */
import { Command } from 'commander';
import { verifyEventStore } from '../../embedded/main.ts';
import { MusterError } from '../../platform/errors.ts';
import { readPlace } from './place.ts';
import { counted, openProgress } from './progress.ts';

const verify = async (options: { dataDir?: string }): Promise<void> => {
  const { place, log } = readPlace(options);
  const progress = openProgress('read');
  const found = await verifyEventStore(place, { log }, progress.show);
  progress.end();
  for (const { position, stream, revision, problem } of found.findings) {
    const where = stream === undefined ? '' : ` (${stream}@${revision})`;
    process.stdout.write(`position ${position}${where}: ${problem}\n`);
  }
  const read = `${counted(found.events, 'event')}, ${counted(found.sizeBytes, 'byte')}, up to position ${found.lastPosition}`;
  if (found.faults > 0) throw new MusterError('log-damaged', `${counted(found.faults, 'fault')} in ${read}.`);
  process.stdout.write(`The event log is whole: ${read}.\n`);
};

/** The subcommand, for ../eventstore.ts. */
export const verifyCommand = (): Command =>
  new Command('verify')
    .configureHelp({ showGlobalOptions: true })
    .description(
      'Re-read the whole log, beside a running server or without one: checksums, numbering, damaged pages.',
    )
    .action((_options, command: Command) => verify(command.optsWithGlobals()));
