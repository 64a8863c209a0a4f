/**
 * Runs another `muster` command as a process of its own. Called by the demo, whose proxy is a process of its own as
 * in production.
 */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { MusterError } from '../platform/errors.ts';

const bin = fileURLToPath(new URL('./bin.mjs', import.meta.url));

/** A child command; `ready` is the first match of the pattern on its standard output. */
export interface Child {
  readonly ready: RegExpExecArray;
  stop(): Promise<void>;
}

/** Starts `muster <args>` with `settings` added to this process's environment; resolves once a line matches `pattern`. */
export const startChild = async (
  args: readonly string[],
  settings: NodeJS.ProcessEnv,
  pattern: RegExp,
): Promise<Child> => {
  const child = spawn(process.execPath, [bin, ...args], {
    env: settings,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const ready = await new Promise<RegExpExecArray>((resolve, reject) => {
    createInterface({ input: child.stdout }).on('line', (line) => {
      const match = pattern.exec(line);
      if (match) resolve(match);
    });
    child.once('error', reject);
    void ended.then(() =>
      reject(new MusterError('dependency-unavailable', `muster ${args.join(' ')} ended before it was ready`)),
    );
  });
  return {
    ready,
    async stop() {
      child.kill('SIGTERM');
      await ended;
    },
  };
};
