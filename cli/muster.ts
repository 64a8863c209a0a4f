/**
 * The `muster` command: one subcommand per file, loaded when it is called. Called by bin.mjs.
 *
 * Exit codes: 0 done, 1 a fault (the message names its code and what to do), 2 wrong usage or configuration.
 */
import { Command, CommanderError } from 'commander';
import { exitCodeOf, explain } from './report.ts';
import { version } from './version.ts';

/** Each subcommand and where it lives: the proxy must not load GraphQL, nor --help the whole server. */
const commands: Readonly<Record<string, () => Promise<Command>>> = {
  serve: async () => (await import('./serve.ts')).serveCommand(),
  proxy: async () => (await import('./proxy.ts')).proxyCommand(),
  eventstore: async () => (await import('./eventstore.ts')).eventstoreCommand(),
  account: async () => (await import('./account.ts')).accountCommand(),
  licence: async () => (await import('./licence.ts')).licenceCommand(),
  simulate: async () => (await import('./simulate.ts')).simulateCommand(),
  replay: async () => (await import('./replay.ts')).replayCommand(),
  demo: async () => (await import('./demo.ts')).demoCommand(),
};

const program = new Command('muster')
  .description('Control plane for mobile fleets: devices muster, and what does not pass muster gets no mail.')
  .version(version)
  .showHelpAfterError('(muster --help and muster <command> --help tell more)')
  .exitOverride();

const called = process.argv[2] ?? '';
const wanted = Object.hasOwn(commands, called) ? [called] : Object.keys(commands);
for (const name of wanted) {
  program.addCommand((await (commands[name] as () => Promise<Command>)()).copyInheritedSettings(program));
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
