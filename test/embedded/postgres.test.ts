/** The PostgreSQL launcher: first start, kills, leftovers, second starts, users, odd folders. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { describe, it } from 'node:test';
import { takeOwnerLock } from '../../embedded/postgres/owner-lock.ts';
import { canReach } from '../../embedded/postgres/run-as.ts';
import { type EmbeddedPostgres, ensureDatabase, startPostgres } from '../../embedded/postgres.ts';
import type { MusterError } from '../../platform/errors.ts';
import { moduleArgs } from '../../platform/module-args.ts';
import { openSql } from '../../platform/sql.ts';
import { exitOf, log, rejection, temporaryFolder } from './support.ts';

const query = async (url: string, text: string): Promise<Record<string, unknown>[]> => {
  const sql = openSql(url, { max: 1 });
  try {
    return [...(await sql.unsafe(text))];
  } finally {
    await sql.end();
  }
};

const running = new Set<EmbeddedPostgres>();
const holders = new Set<ChildProcess>();

/** Starts PostgreSQL; whatever a failed test leaves running is stopped after it. */
const launch = async (dataDir: string): Promise<EmbeddedPostgres> => {
  const postgres = await startPostgres({ dataDir }, { log });
  const tracked = {
    ...postgres,
    stop: () => {
      running.delete(tracked);
      return postgres.stop();
    },
  };
  running.add(tracked);
  return tracked;
};

const stopAll = async (): Promise<void> => {
  for (const child of holders) child.kill('SIGKILL');
  for (const postgres of [...running]) await postgres.stop();
};

const withFolder = (run: (path: string) => Promise<void>) => async (): Promise<void> => {
  const folder = temporaryFolder();
  try {
    await run(folder.path);
  } finally {
    await stopAll();
    folder.remove();
  }
};

/** Another process that runs PostgreSQL in `dataDir`; resolves with its postmaster's number and URL. */
const hold = async (
  dataDir: string,
  options: { uid?: number; gid?: number } = {},
): Promise<{ child: ChildProcess; pid: number; url: string }> => {
  const child = spawn(process.execPath, [...moduleArgs('./postgres-holder', import.meta.url), dataDir], {
    ...options,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  holders.add(child);
  child.once('exit', () => holders.delete(child));
  const [line] = (await once(createInterface({ input: child.stdout as NodeJS.ReadableStream }), 'line')) as [
    string,
  ];
  return { child, ...(JSON.parse(line) as { pid: number; url: string }) };
};

/** Repeats a query until the server answers; the launcher restarts it by itself. */
const answer = async (url: string, text: string): Promise<Record<string, unknown>[]> => {
  for (const until = Date.now() + 20_000; ; ) {
    try {
      return await query(url, text);
    } catch (error) {
      if (Date.now() > until) throw error;
    }
  }
};

describe('postgres', () => {
  it(
    'starts in a new folder, keeps its data, starts again',
    withFolder(async (path) => {
      const first = await launch(join(path, 'new/data'));
      assert.deepEqual(await query(first.url, 'select 1 as one'), [{ one: 1 }]);
      const [settings] = await query(
        first.url,
        `select current_setting('fsync') as fsync, current_setting('synchronous_commit') as commit,
      current_setting('server_encoding') as encoding, current_setting('listen_addresses') as tcp, datlocale from pg_database where datname = 'postgres'`,
      );
      assert.deepEqual(settings, {
        fsync: 'on',
        commit: 'on',
        encoding: 'UTF8',
        tcp: '',
        datlocale: 'C.UTF-8',
      });
      await query(first.url, 'create table kept as select 42 as n');
      await first.stop();
      const second = await launch(join(path, 'new/data'));
      assert.deepEqual(await query(second.url, 'select n from kept'), [{ n: 42 }]);
      await second.stop();
      assert.equal(existsSync(join(path, 'new/data/postgres.lock')), false);
    }),
  );

  it(
    'while it runs: socket for its user alone, databases made once, a second start refused, kills survived',
    withFolder(async (path) => {
      const postgres = await launch(path);
      const socketDir = new URL(postgres.url).searchParams.get('host') as string;
      assert.equal(statSync(socketDir).mode & 0o777, 0o700);
      assert.equal(statSync(join(path, 'postgres')).mode & 0o777, 0o700);

      const name = 'Ünïque "x"';
      const urls = await Promise.all([
        ensureDatabase(postgres.url, name),
        ensureDatabase(postgres.url, name),
      ]);
      assert.equal(urls[0], urls[1]);
      assert.deepEqual(await query(urls[0], 'select current_database() as name'), [{ name }]);

      const error = await rejection<MusterError>(launch(path));
      assert.equal(error.code, 'data-dir-in-use');
      assert.match(error.message, new RegExp(String(process.pid)));

      await query(postgres.url, 'create table t as select 1 as n');
      for (let round = 0; round < 2; round += 1) {
        const before = postgres.pid();
        process.kill(before, 'SIGKILL');
        assert.deepEqual(await answer(postgres.url, 'select n from t'), [{ n: 1 }]);
        assert.notEqual(postgres.pid(), before);
      }
    }),
  );

  it(
    'takes over when its owner was killed, whether or not an orphan runs',
    withFolder(async (path) => {
      const held = await hold(path);
      await query(held.url, 'create table t as select 7 as n');
      const refused = await rejection<MusterError>(launch(path));
      assert.match(refused.message, new RegExp(String(held.child.pid)));
      held.child.kill('SIGKILL');
      await exitOf(held.child);
      const postgres = await launch(path);
      assert.notEqual(postgres.pid(), held.pid);
      assert.deepEqual(await query(postgres.url, 'select n from t'), [{ n: 7 }]);
      await postgres.stop();
    }),
  );

  it(
    'leftovers that name living processes do not block',
    withFolder(async (path) => {
      const postgres = await launch(path);
      const pidFile = join(path, 'postgres', 'postmaster.pid');
      const text = readFileSync(pidFile, 'utf8');
      await postgres.stop();
      const sleeper = spawn('sleep', ['60'], { stdio: 'ignore', ...ownerOf(join(path, 'postgres')) });
      for (const pid of [1, process.pid, sleeper.pid, 2 ** 22 - 1]) {
        writeFileSync(pidFile, text.replace(/^\d+/, String(pid)));
        const owner = ownerOf(join(path, 'postgres'));
        if (process.getuid?.() === 0) chownSync(pidFile, owner.uid, owner.gid);
        writeFileSync(join(path, 'postgres.lock'), JSON.stringify({ pid, incarnation: 'another boot/1' }));
        const again = await launch(path);
        await again.stop();
      }
      writeFileSync(join(path, 'postgres.lock'), '{"pid": half a li');
      await (await launch(path)).stop();
      sleeper.kill();
      await exitOf(sleeper);
    }),
  );

  it(
    'a creation that was interrupted starts over',
    withFolder(async (path) => {
      mkdirSync(join(path, 'postgres.new/base'), { recursive: true });
      writeFileSync(join(path, 'postgres.new/PG_VERSION'), '18');
      const postgres = await launch(path);
      assert.deepEqual(await query(postgres.url, 'select 1 as one'), [{ one: 1 }]);
      await postgres.stop();
    }),
  );

  it(
    'a long path gets its socket elsewhere',
    withFolder(async (path) => {
      const dataDir = join(path, 'x'.repeat(60), 'y'.repeat(60));
      const postgres = await launch(dataDir);
      const socketDir = new URL(postgres.url).searchParams.get('host') as string;
      assert.ok(!socketDir.startsWith(path));
      assert.deepEqual(await query(postgres.url, 'select 1 as one'), [{ one: 1 }]);
      await postgres.stop();
      assert.equal(existsSync(socketDir), false);
    }),
  );

  it(
    'a data folder that cannot be made is a fault of the configuration',
    withFolder(async (path) => {
      writeFileSync(join(path, 'file'), '');
      const error = await rejection<MusterError>(launch(join(path, 'file/data')));
      assert.equal(error.code, 'config-invalid');
    }),
  );
});

const ownerOf = (path: string): { uid: number; gid: number } => {
  const { uid, gid } = statSync(path);
  return { uid, gid };
};

const asRoot = process.getuid?.() === 0 ? false : 'needs root to act as several users';

describe('users', () => {
  it('as root, runs as another user in a folder only root may pass', { skip: asRoot }, async () => {
    const closed = mkdtempSync(join(tmpdir(), 'muster-closed-'));
    chmodSync(closed, 0o700);
    try {
      const dataDir = join(closed, 'data');
      const postgres = await launch(dataDir);
      assert.notEqual(ownerOf(join(dataDir, 'postgres')).uid, 0);
      assert.notEqual(
        readFileSync(`/proc/${postgres.pid()}/status`, 'utf8').match(/^Uid:\s+(\d+)/m)?.[1],
        '0',
      );
      process.kill(postgres.pid(), 'SIGKILL');
      assert.deepEqual(await answer(postgres.url, 'select 1 as one'), [{ one: 1 }]);
      const socketDir = new URL(postgres.url).searchParams.get('host') as string;
      await postgres.stop();
      assert.equal(existsSync(socketDir), false);
    } finally {
      rmSync(closed, { recursive: true });
    }
  });

  it(
    'as a normal user, runs as that user',
    { skip: asRoot },
    withFolder(async (path) => {
      const nobody = { uid: 65_534, gid: 65_534 };
      chownSync(path, nobody.uid, nobody.gid);
      const held = await hold(path, nobody);
      assert.equal(ownerOf(join(path, 'postgres')).uid, nobody.uid);
      assert.deepEqual(await query(held.url, 'select 1 as one'), [{ one: 1 }]);
      held.child.kill('SIGTERM');
      assert.equal(await exitOf(held.child), 0);
      assert.equal(existsSync(join(path, 'postgres/postmaster.pid')), false);
    }),
  );

  it(
    'knows which folders a user can pass',
    { skip: asRoot },
    withFolder(async (path) => {
      const nobody = { ids: { uid: 65_534, gid: 65_534 }, description: 'user nobody' };
      const inner = join(path, 'inner');
      mkdirSync(inner);
      chmodSync(path, 0o711);
      assert.equal(canReach(inner, nobody), true);
      chmodSync(path, 0o700);
      assert.equal(canReach(inner, nobody), false);
      chownSync(path, nobody.ids.uid, nobody.ids.gid);
      assert.equal(canReach(inner, nobody), true);
    }),
  );
});

describe('owner lock', () => {
  it(
    'of many starters one wins, a stale lock or not',
    withFolder(async (path) => {
      const lock = join(path, 'lock');
      for (const stale of [undefined, '{"pid":1,"incarnation":"old"}', '']) {
        if (stale !== undefined) writeFileSync(lock, stale);
        const outcomes = Array.from({ length: 10 }, () => {
          try {
            return takeOwnerLock(lock);
          } catch {
            return undefined;
          }
        });
        const winners = outcomes.filter((release) => release !== undefined);
        assert.equal(winners.length, 1);
        winners[0]?.();
        assert.equal(lstatSync(lock, { throwIfNoEntry: false }), undefined);
      }
    }),
  );
});
