/**
 * The EAS proxy against nginx and a plain node:http proxy: the same requests over TLS, interleaved in one run. CPU
 * seconds of each contestant's process per 10,000 requests, p99 at half of Muster's own maximum, and memory per held
 * Ping. Called by bench/main.ts. Linux only, for /proc says what a process cost.
 */
import { type ChildProcess, execFileSync, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '../../cli/free-port.ts';
import { figureRow, heading } from '../report.ts';
import type { Job } from './load.ts';
import { hasNginx, startNginx } from './nginx.ts';

const devices = 10_000;
const connections = 64;
const heldPings = 5_000;
const rounds = 5;
/** How many times as long an even rate is kept up. */
const pacedTimes = 3;

interface Contestant {
  readonly name: string;
  readonly port: number;
  readonly child: ChildProcess;
}

interface Loaded {
  readonly count: number;
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;

/** CPU seconds of a process so far; clock ticks are hundredths on every Linux. */
const cpuOf = (pid: number): number => {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) / 100;
};

const pssKibOf = (pid: number): number =>
  Number(/^Pss:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))?.[1]);

const run = (file: string, ...args: (string | number)[]): ChildProcess =>
  fork(join(import.meta.dirname, file), args.map(String), {
    execArgv: ['--import', 'tsx', ...extraOf(file)],
  });

const extraOf = (file: string): readonly string[] =>
  file === 'muster.ts' && profileDir !== undefined ? ['--cpu-prof', `--cpu-prof-dir=${profileDir}`] : [];
/** `--profile=<folder>` leaves a CPU profile of Muster's proxy there. */
const profileDir = process.argv.find((arg) => arg.startsWith('--profile='))?.slice('--profile='.length);

const told = async <T>(child: ChildProcess): Promise<T> => {
  const [message] = (await once(child, 'message')) as [T & { error?: string }];
  if (message.error !== undefined) throw new Error(message.error);
  return message;
};

const makeCertificate = (dir: string): { cert: string; key: string } => {
  const cert = join(dir, 'cert.pem');
  const key = join(dir, 'key.pem');
  const args = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  execFileSync('openssl', [...args, '-days', '2', '-subj', '/CN=localhost', '-keyout', key, '-out', cert], {
    stdio: 'ignore',
  });
  return { cert, key };
};

const startAll = async (dir: string, backend: { mail: number; feed: number }): Promise<Contestant[]> => {
  const { cert, key } = makeCertificate(dir);
  const found: Contestant[] = [];
  if (hasNginx()) {
    const port = await freePort();
    const child = await startNginx(dir, port, backend.mail, { cert, key, devices });
    found.push({ name: 'nginx with map and log', port, child });
  } else console.log('  nginx is not installed (/usr/sbin/nginx): ratios are to plain node:http');
  const plain = run('plain.ts', backend.mail, cert, key);
  found.push({ name: 'plain node:http', child: plain, ...(await told<{ port: number }>(plain)) });
  const muster = run('muster.ts', backend.mail, cert, key, backend.feed, dir);
  found.push({ name: 'Muster', child: muster, ...(await told<{ port: number }>(muster)) });
  return found;
};

const pidOf = ({ child }: Contestant): number => child.pid as number;

/** Rows of one figure: each contestant's median, and its median ratio to the first within the same round. */
const rows = (
  unit: string,
  contestants: readonly Contestant[],
  figures: readonly (readonly number[])[],
): void => {
  for (const [index, { name }] of contestants.entries()) {
    const own = figures.map((round) => round[index] as number);
    const ratio = median(figures.map((round) => (round[index] as number) / (round[0] as number)));
    const against = index === 0 ? '' : `  ${ratio.toFixed(2)} x ${contestants[0]?.name}`;
    figureRow(`${name}`, median(own), `${unit}${against}`);
  }
};

/** Measures; `durationMs` is the time per round and contestant, at an even rate `pacedTimes` as much. */
export const benchProxy = async (durationMs: number): Promise<void> => {
  heading(
    `EAS proxy over TLS: 2 KB up and down, ${devices} devices, ${connections} connections, ${rounds} rounds`,
  );
  const dir = mkdtempSync(join(tmpdir(), 'muster-bench-proxy-'));
  const backend = run('backend.ts', devices);
  const load = run('load.ts', devices);
  const children = [backend, load];
  const ask = async <T>(job: Job): Promise<T> => {
    load.send(job);
    return told<T>(load);
  };
  try {
    const [, ports] = await Promise.all([told(load), told<{ mail: number; feed: number }>(backend)]);
    const contestants = await startAll(dir, ports);
    children.push(...contestants.map(({ child }) => child));
    const job = (port: number, perSecond: number | null): Job => ({
      kind: 'load',
      port,
      connections,
      // A tail needs more of them: one stall of the machine is a hundredth of two seconds.
      durationMs: perSecond === null ? durationMs : durationMs * pacedTimes,
      perSecond,
    });
    for (const { port } of contestants) await ask(job(port, null));
    const cpu: number[][] = [];
    const cpuAtHalf: number[][] = [];
    const rates: number[][] = [];
    const paced: number[][] = [];
    for (let round = 0; round < rounds; round += 1) {
      const costs: number[] = [];
      const reached: number[] = [];
      for (const contestant of contestants) {
        const before = cpuOf(pidOf(contestant));
        const { count, perSecond } = await ask<Loaded>(job(contestant.port, null));
        costs.push(((cpuOf(pidOf(contestant)) - before) / count) * 10_000);
        reached.push(perSecond);
      }
      cpu.push(costs);
      rates.push(reached);
      const half = (reached.at(-1) as number) / 2;
      const tails: number[] = [];
      const costsAtHalf: number[] = [];
      for (const contestant of contestants) {
        const before = cpuOf(pidOf(contestant));
        const { count, p99Ms } = await ask<Loaded>(job(contestant.port, half));
        costsAtHalf.push(((cpuOf(pidOf(contestant)) - before) / count) * 10_000);
        tails.push(p99Ms);
      }
      paced.push(tails);
      cpuAtHalf.push(costsAtHalf);
    }
    heading('CPU seconds per 10,000 requests (target: 2.4 x nginx)');
    rows('s', contestants, cpu);
    heading('The same at one rate for all, half of Muster’s maximum');
    rows('s', contestants, cpuAtHalf);
    heading('Requests per second, closed loop');
    rows('/s', contestants, rates);
    heading('p99 at half of Muster’s maximum (target: 2 x nginx)');
    rows('ms', contestants, paced);
    heading(`Memory per held Ping, ${heldPings} connections (target: 1.6 x nginx)`);
    const memory: number[] = [];
    for (const contestant of contestants) {
      const before = pssKibOf(pidOf(contestant));
      await ask({ kind: 'hold', port: contestant.port, connections: heldPings });
      // Whatever was needed only to get there is given back by then, or never: V8 collects when it has been idle for a while.
      await sleep(12_000);
      memory.push((pssKibOf(pidOf(contestant)) - before) / heldPings);
      await ask({ kind: 'release' });
    }
    rows('KiB', contestants, [memory]);
  } finally {
    for (const child of children) {
      if (child.exitCode !== null) continue;
      child.kill(profileDir === undefined ? 'SIGTERM' : 'SIGINT');
      await once(child, 'exit');
    }
    rmSync(dir, { recursive: true, force: true });
  }
};
