/**
 * A real ActiveSync server on loopback for a test: SOGo with a database on the run's PostgreSQL, dovecot for the mail
 * boxes, memcached, and an SMTP server that takes what is sent. Called by test/proxy/sogo.test.ts.
 *
 * All of it runs as the user that PostgreSQL runs as, whose socket it needs, in a folder and on ports of its own; of what
 * is installed on the machine only the programs are used, no service and no configuration.
 */
import type { ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  watch,
  writeFileSync,
} from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SMTPServer } from 'smtp-server';
import { databaseOptions, openSql } from '../../platform/sql.ts';
import {
  chooseServant,
  ended,
  idOf,
  isRunning,
  own,
  ownFolder,
  run,
  type Servant,
  startDovecot,
} from './dovecot.ts';
import { quietPort, untilListening } from './port.ts';
import { openDatabase } from './servers.ts';

const programs = {
  sogod: '/usr/sbin/sogod',
  activeSync: '/usr/lib/GNUstep/SOGo/ActiveSync.SOGo',
  dovecot: '/usr/sbin/dovecot',
  imap: '/usr/lib/dovecot/imap',
  memcached: '/usr/bin/memcached',
} as const;

/** SOGo ends when it may not read this, although every setting in it is overruled here. */
const globalSettings = '/etc/sogo/sogo.conf';

const isReadable = (path: string): boolean => {
  try {
    accessSync(path, constants.R_OK);
    return true;
  } catch {
    return false;
  }
};

/** A reason to skip: in continuous integration a missing SOGo is none, and fails. */
export const sogoMissing: string | false = !(
  Object.values(programs).every((path) => existsSync(path)) || process.env['CI']
)
  ? 'no SOGo on this machine (apt-get install sogo sogo-activesync dovecot-imapd memcached)'
  : existsSync(globalSettings) && !isReadable(globalSettings) && `${globalSettings} cannot be read`;

/** A mail that SOGo has handed over. */
export interface Taken {
  readonly from: string;
  readonly to: readonly string[];
  readonly lengthBytes: number;
  readonly sha256: string;
}

export interface Sogo {
  /** Of ActiveSync, its path included. */
  readonly url: string;
  readonly taken: Taken[];
  /** Puts a mail into the inbox of a user. */
  deliver(user: string, mime: string): void;
  /** Settles with the next line of SOGo's log that matches. */
  logged(matches: RegExp): Promise<string>;
  stop(): Promise<void>;
}

/** Starts an SMTP server that takes everything and keeps a digest of it. */
const startOutbox = async (taken: Taken[]) => {
  const server = new SMTPServer({
    authOptional: true,
    disabledCommands: ['STARTTLS', 'AUTH'],
    onData(stream, { envelope }, done) {
      const hash = createHash('sha256');
      let lengthBytes = 0;
      stream.on('data', (chunk: Buffer) => {
        hash.update(chunk);
        lengthBytes += chunk.length;
      });
      stream.on('end', () => {
        const to = envelope.rcptTo.map(({ address }) => address);
        const from = envelope.mailFrom ? envelope.mailFrom.address : '';
        taken.push({ from, to, lengthBytes, sha256: hash.digest('hex') });
        done();
      });
    },
  });
  server.on('error', () => {});
  const listener = server.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  return {
    port: (listener.address() as AddressInfo).port,
    stop: () => new Promise<void>((resolve) => void server.close(() => resolve())),
  };
};

/** Tables of SOGo on a database, and its users. */
const fillDatabase = async (url: string, users: readonly string[]): Promise<void> => {
  const sql = openSql(url, { max: 1 });
  await sql`create table sogo_users (c_uid text, c_name text, c_password text, c_cn text, mail text)`;
  for (const user of users)
    await sql`insert into sogo_users values (${user}, ${user}, 'secret', ${user}, ${`${user}@example.org`})`;
  await sql.end();
};

/** Ends SOGo and its workers at once: asked nicely they wait for their long polls. */
const kill = (sogo: ChildProcess): void => {
  if (!isRunning(sogo)) return;
  const { pid } = sogo;
  const workers = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ');
  sogo.kill('SIGKILL');
  for (const worker of workers.filter((one) => one !== ''))
    try {
      process.kill(Number(worker), 'SIGKILL');
    } catch {
      // It has ended with its watchdog.
    }
};

/**
 * Reads a log as it grows. A file and no pipe, for a SOGo whose log nobody reads any more turns in circles: it would go on
 * when a test run is killed.
 */
const follow = (file: string) => {
  const lines = new EventEmitter().setMaxListeners(0);
  const handle = openSync(file, 'r');
  const chunk = Buffer.alloc(64 * 1024);
  let rest = '';
  const watcher = watch(file, () => {
    for (let size = readSync(handle, chunk); size > 0; size = readSync(handle, chunk)) {
      const [last, ...complete] = (rest + chunk.toString('latin1', 0, size)).split('\n').reverse();
      rest = last as string;
      for (const line of complete.reverse()) lines.emit('line', line);
    }
  });
  return {
    logged: (matches: RegExp): Promise<string> =>
      new Promise((resolve) => {
        const look = (line: string) => {
          if (!matches.test(line)) return;
          lines.off('line', look);
          resolve(line);
        };
        lines.on('line', look);
      }),
    stop() {
      watcher.close();
      closeSync(handle);
    },
  };
};

const quoted = (text: string): string => `"${text}"`;

/** SOGo's settings as arguments, which overrule every file. PostgreSQL is found by its variables of the environment. */
const settingsOf = (parts: {
  readonly folder: string;
  readonly log: string;
  readonly cache: string;
  readonly databaseUrl: string;
  readonly port: number;
  readonly imapPort: number;
  readonly smtpPort: number;
  readonly workers: number;
}): string[] => {
  const { user, password = 'none', database } = databaseOptions(parts.databaseUrl);
  const table = (name: string) =>
    quoted(`postgresql://${user}:${encodeURIComponent(password)}@/${database}/sogo_${name}`);
  const settings = {
    WOPort: `127.0.0.1:${parts.port}`,
    WONoDetach: 'YES',
    WOLogFile: quoted(parts.log),
    WOPidFile: quoted(join(parts.folder, 'sogo.pid')),
    WOWorkersCount: String(parts.workers),
    WOListenQueueSize: '100',
    SOGoMemcachedHost: quoted(parts.cache),
    SOGoProfileURL: table('profile'),
    OCSFolderInfoURL: table('folder_info'),
    OCSSessionsFolderURL: table('sessions'),
    OCSEMailAlarmsFolderURL: table('alarms'),
    OCSCacheFolderURL: table('cache'),
    OCSStoreURL: table('store'),
    OCSAclURL: table('acl'),
    SOGoUserSources: `({ type = sql; id = directory; viewURL = ${table('users')}; canAuthenticate = YES; isAddressBook = YES; displayName = Everybody; userPasswordAlgorithm = none; })`,
    SOGoMailDomain: 'example.org',
    SOGoIMAPServer: quoted(`imap://127.0.0.1:${parts.imapPort}`),
    SOGoSieveServer: quoted('sieve://127.0.0.1:1'),
    SOGoSMTPServer: quoted(`smtp://127.0.0.1:${parts.smtpPort}`),
    SOGoMailingMechanism: 'smtp',
    SOGoTimeZone: 'UTC',
    SOGoMaximumPingInterval: '3540',
    SOGoMaximumSyncInterval: '3540',
    SOGoInternalSyncInterval: '1',
  };
  return Object.entries(settings).flatMap(([key, value]) => [`-${key}`, value]);
};

/** Who runs SOGo: with SOGo's own group as root, which may read the global settings. */
const sogoIdsOf = ({ ids }: Servant) =>
  ids === undefined ? {} : { ...ids, gid: Number(idOf('-g', 'sogo')) };

/** Starts one with these users, all of whose passwords are `secret`, and `workers` requests at a time. */
export const startSogo = async (users: readonly string[], workers: number): Promise<Sogo> => {
  const servant = chooseServant();
  const database = await openDatabase();
  await fillDatabase(database.url, users);
  const folder = own(mkdtempSync(join(tmpdir(), 'muster-sogo-')), servant);
  const [log, cache, home] = ['sogo.log', 'memcached.sock', 'home'].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ];
  ownFolder(home, servant);
  writeFileSync(log, '');
  own(log, servant);
  const taken: Taken[] = [];
  const outbox = await startOutbox(taken);
  const memcached = run(programs.memcached, ['-s', cache, '-m', '16'], folder, { ...servant.ids });
  const dovecot = await startDovecot(folder, users, servant);
  const port = await quietPort();
  const ports = { port, imapPort: dovecot.port, smtpPort: outbox.port };
  const args = settingsOf({ folder, log, cache, databaseUrl: database.url, workers, ...ports });
  const { host, port: databasePort } = databaseOptions(database.url);
  const env = { PATH: process.env['PATH'], HOME: home, PGHOST: host, PGPORT: String(databasePort) };
  const sogo = run(programs.sogod, args, folder, { ...sogoIdsOf(servant), env });
  const follower = follow(log);
  await untilListening(port, sogo);
  return {
    url: `http://127.0.0.1:${port}/SOGo/Microsoft-Server-ActiveSync`,
    taken,
    deliver: dovecot.deliver,
    logged: follower.logged,
    async stop() {
      follower.stop();
      kill(sogo);
      for (const child of [sogo, memcached]) await ended(child);
      await dovecot.stop();
      await outbox.stop();
      await database.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
};
