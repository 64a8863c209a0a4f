/**
 * The `muster` command: one subcommand per file. Called by bin.mjs.
 *
 * Exit codes: 0 done, 1 a fault (the message names its code and what to do), 2 wrong usage or configuration.
 */
import { Command, CommanderError } from 'commander';
import { demoCommand } from './demo.ts';
import { eventstoreCommand } from './eventstore.ts';
import { proxyCommand } from './proxy.ts';
import { replayCommand } from './replay.ts';
import { exitCodeOf, explain } from './report.ts';
import { serveCommand } from './serve.ts';
import { simulateCommand } from './simulate.ts';
import { version } from './version.ts';

const program = new Command('muster')
  .description('Control plane for mobile fleets: devices muster, and what does not pass muster gets no mail.')
  .version(version)
  .showHelpAfterError('(muster --help and muster <command> --help tell more)')
  .exitOverride();

for (const command of [
  serveCommand,
  proxyCommand,
  eventstoreCommand,
  simulateCommand,
  replayCommand,
  demoCommand,
]) {
  program.addCommand(command().exitOverride());
}

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : 2;
  else {
    process.stderr.write(`${explain(error)}\n`);
    process.exitCode = exitCodeOf(error);
  }
}
