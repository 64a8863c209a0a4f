/**
 * Runs the `muster` command as its users do: a process of its own, watched through its output.
 * Called by tests of the command line and of faults, and by the benches.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const bin = fileURLToPath(new URL('../../cli/bin.mjs', import.meta.url));

/** A running command. */
export interface Command {
  readonly process: ChildProcess;
  /** Everything written to standard output so far. */
  output(): string;
  errors(): string;
  /** Resolves with the match once a line of standard output matches; rejects when the command ends before. */
  line(pattern: RegExp): Promise<RegExpExecArray>;
  /** Resolves with the exit code, or the signal's name. */
  readonly ended: Promise<number | string>;
  /** Sends a signal and waits for the end. */
  stop(signal?: NodeJS.Signals): Promise<number | string>;
}

/** Starts `muster …` with only the given settings in its environment (PATH and HOME are kept). */
export const startCommand = (args: readonly string[], environment: Record<string, string> = {}): Command => {
  const kept = Object.fromEntries(
    ['PATH', 'HOME', 'TMPDIR'].flatMap((key) => (process.env[key] ? [[key, process.env[key]]] : [])),
  );
  const child = spawn(process.execPath, [bin, ...args], {
    env: { ...kept, MUSTER_LOG_LEVEL: 'warn', ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const lines: string[] = [];
  let errors = '';
  const waiting = new Set<() => void>();
  const wake = () => {
    for (const check of waiting) check();
  };
  createInterface({ input: child.stdout }).on('line', (text) => {
    lines.push(text);
    wake();
  });
  child.stderr.on('data', (chunk: Buffer) => {
    errors += chunk.toString();
  });
  let over = false;
  const ended = new Promise<number | string>((resolve) => {
    child.once('close', (code, signal) => {
      over = true;
      resolve(signal ?? code ?? 'unknown');
      wake();
    });
  });
  return {
    process: child,
    output: () => lines.join('\n'),
    errors: () => errors,
    line: (pattern) =>
      new Promise((resolve, reject) => {
        const check = () => {
          const match = lines.map((text) => pattern.exec(text)).find((found) => found !== null);
          if (!match && !over) return;
          waiting.delete(check);
          if (match) resolve(match);
          else
            reject(
              new Error(`muster ${args.join(' ')} ended before ${pattern}\n${lines.join('\n')}\n${errors}`),
            );
        };
        waiting.add(check);
        check();
      }),
    ended,
    async stop(signal = 'SIGTERM') {
      child.kill(signal);
      return ended;
    },
  };
};

/** A server started by `muster serve` on a free port, ready to answer. */
export interface MusterServer extends Command {
  readonly url: string;
  /** One-time password of the operator; undefined unless this was the first start in the data folder. */
  readonly password: string | undefined;
}

/** Starts `muster serve` in a data folder; `options` are those of its command line. */
export const startMuster = async (
  dataDir: string,
  environment: Record<string, string> = {},
  options: readonly string[] = [],
): Promise<MusterServer> => {
  const command = startCommand(['serve', ...options], {
    MUSTER_DATA_DIR: dataDir,
    MUSTER_PORT: '0',
    ...environment,
  });
  const [, url] = await command.line(/^Muster serves (\S+)/);
  const password = /^ {4}(\S+)$/m.exec(command.output())?.[1];
  return { ...command, url: url as string, password };
};
