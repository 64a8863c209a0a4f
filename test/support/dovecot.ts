/**
 * dovecot on loopback for a test, with an inbox for each user; and what it shares with sogo.ts, which alone calls it: who runs
 * such programs, and how they are ended.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chownSync, mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { chooseRunAs } from '../../embedded/postgres/run-as.ts';
import { quietPort, untilListening } from './port.ts';

/** Whom programs of a test run as. */
export interface Servant {
  readonly user: string;
  readonly group: string;
  /** Set when that is not this process's own user. */
  readonly ids: { readonly uid: number; readonly gid: number } | undefined;
}

/** The output of `id`. */
export const idOf = (...args: string[]): string => execFileSync('id', args, { encoding: 'utf8' }).trim();

/** The user of PostgreSQL, whose socket is for nobody else. */
export const chooseServant = (): Servant => {
  const { ids } = chooseRunAs();
  const of = ids === undefined ? [] : [String(ids.uid)];
  return { user: idOf('-un', ...of), group: idOf('-gn', ...of), ids };
};

/** Gives a file to the servant. */
export const own = (path: string, { ids }: Servant): string => {
  if (ids !== undefined) chownSync(path, ids.uid, ids.gid);
  return path;
};

/** Makes a folder of the servant. */
export const ownFolder = (path: string, servant: Servant): string => {
  mkdirSync(path);
  return own(path, servant);
};

/** Starts a program in a folder, silently. */
export const run = (program: string, args: string[], cwd: string, options: object): ChildProcess =>
  spawn(program, args, { cwd, stdio: 'ignore', ...options });

export const isRunning = ({ exitCode, signalCode }: ChildProcess): boolean =>
  exitCode === null && signalCode === null;

/** Ends a program unless it has ended. */
export const ended = async (child: ChildProcess): Promise<void> => {
  if (!isRunning(child)) return;
  const exit = once(child, 'exit');
  child.kill();
  await exit;
};

const dovecotSettings = (folder: string, port: number, { user, group }: Servant): string => `
base_dir = ${folder}/dovecot
state_dir = ${folder}/dovecot
log_path = ${folder}/dovecot.log
default_internal_user = ${user}
default_internal_group = ${group}
default_login_user = ${user}
protocols = imap
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
first_valid_uid = 1
mail_location = maildir:${folder}/mail/%n
passdb {
  driver = static
  args = password=secret
}
userdb {
  driver = static
  args = uid=${user} gid=${group} home=${folder}/mail/%n
}
namespace inbox {
  inbox = yes
  mailbox Drafts {
    auto = create
  }
  mailbox Sent {
    auto = create
  }
  mailbox Trash {
    auto = create
  }
}
service anvil {
  chroot =
}
service imap-login {
  chroot =
  inet_listener imap {
    port = ${port}
  }
  inet_listener imaps {
    port = 0
  }
}
`;

/**
 * Has dovecot count the changes of an inbox, which it does from the first time on that somebody asks it to (RFC 7162
 * 3.1.8). SOGo takes the count for its key of synchronisation, and does not ask.
 */
const countChanges = async (port: number, user: string): Promise<void> => {
  const socket = connect(port, '127.0.0.1');
  socket.write(`a LOGIN ${user} secret\r\nb SELECT INBOX (CONDSTORE)\r\nc LOGOUT\r\n`);
  let said = '';
  for await (const piece of socket) said += piece;
  if (!/^b OK/m.test(said)) throw new Error(`dovecot does not serve ${user}: ${said}`);
};

export interface Dovecot {
  readonly port: number;
  /** Puts a mail into the inbox of a user. */
  deliver(user: string, mime: string): void;
  stop(): Promise<void>;
}

/** Starts one in a folder, with these users, all of whose passwords are `secret`. */
export const startDovecot = async (
  folder: string,
  users: readonly string[],
  servant: Servant,
): Promise<Dovecot> => {
  for (const one of ['dovecot', 'mail']) ownFolder(join(folder, one), servant);
  for (const name of users)
    for (const part of ['', 'cur', 'new', 'tmp']) ownFolder(join(folder, 'mail', name, part), servant);
  const port = await quietPort();
  const file = join(folder, 'dovecot.conf');
  writeFileSync(file, dovecotSettings(folder, port, servant));
  const dovecot = run('/usr/sbin/dovecot', ['-F', '-c', file], folder, { ...servant.ids });
  await untilListening(port, dovecot);
  for (const name of users) await countChanges(port, name);
  let delivered = 0;
  return {
    port,
    deliver(to, mime) {
      delivered += 1;
      const name = `${Date.now()}.${delivered}.test`;
      const written = join(folder, 'mail', to, 'tmp', name);
      writeFileSync(written, mime);
      renameSync(own(written, servant), join(folder, 'mail', to, 'new', name));
    },
    stop: () => ended(dovecot),
  };
};
