/**
 * `muster eventstore scavenge`: gives back the space of events that nobody can read any more.
 */
import { Command } from 'commander';
import type { Scavenged } from '../../embedded/event-store/scavenge.ts';
import { scavengeEventStore } from '../../embedded/main.ts';
import { readPlace } from './place.ts';
import { counted, openProgressLine } from './progress.ts';

interface Options {
  readonly dataDir?: string;
  readonly dryRun?: boolean;
  readonly compact?: boolean;
}

const outcomeOf = (done: Scavenged, { dryRun }: Options): string => {
  const what = `${counted(done.events, 'event')} of ${counted(done.streams, 'stream')}, about ${counted(done.sizeBytes, 'byte')}`;
  return dryRun
    ? `Would remove ${what}, up to position ${done.upTo}. Nothing was changed.\n`
    : `Removed ${what}, up to position ${done.upTo}.\n`;
};

const diskOf = ({ diskBytes }: Scavenged, { dryRun, compact }: Options): string => {
  if (dryRun) return `On disk: ${counted(diskBytes.before, 'byte')}.\n`;
  const note = compact ? '' : '; new events use what is free in them before they grow';
  return `On disk: ${counted(diskBytes.before, 'byte')} before, ${diskBytes.after} after${note}.\n`;
};

const scavenge = async (options: Options): Promise<void> => {
  const { place, log } = readPlace(options);
  const line = openProgressLine();
  const { dryRun = false, compact = false } = options;
  const done = await scavengeEventStore(place, { dryRun, compact }, { log }, (streams, ofStreams, events) =>
    line.show(
      `${streams} of about ${counted(ofStreams, 'stream')} looked at, ${counted(events, 'event')} to remove`,
    ),
  );
  line.end();
  process.stdout.write(outcomeOf(done, options));
  for (const [reason, events] of Object.entries(done.byReason))
    if (events > 0) process.stdout.write(`  ${reason}: ${events}\n`);
  process.stdout.write(diskOf(done, options));
};

/** The subcommand, for ../eventstore.ts. */
export const scavengeCommand = (): Command =>
  new Command('scavenge')
    .configureHelp({ showGlobalOptions: true })
    .description(
      'Remove what nobody can read any more, beside a running server or without one: deleted streams, and events beyond $maxAge, $maxCount and $tb.',
    )
    .option('--dry-run', 'only count what would be removed')
    .option(
      '--compact',
      'rewrite the tables afterwards and give the space back to the disk; the server must be stopped',
    )
    .action((_options, command: Command) => scavenge(command.optsWithGlobals()));
