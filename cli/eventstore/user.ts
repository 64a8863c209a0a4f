/**
 * `muster eventstore user`: the users of the event store, who matter once it serves over TLS.
 * Mounted by ../eventstore.ts. Works beside a running store, which notices within seconds, and on a stopped folder.
 */
import { text } from 'node:stream/consumers';
import { Command } from 'commander';
import { withEventStoreUsers } from '../../embedded/main.ts';
import { readPlace } from './place.ts';

type Users = Parameters<Parameters<typeof withEventStoreUsers>[2]>[0];

interface Options {
  readonly dataDir?: string;
  readonly group?: string[];
  readonly stdin?: boolean;
}

const withUsers = async <T>(command: Command, use: (users: Users) => Promise<T>): Promise<T> => {
  const { place, log } = readPlace(command.optsWithGlobals<Options>());
  return withEventStoreUsers(place, { log }, use);
};

/** The password on standard input when asked for; never an argument, which every user of the machine could read. */
const passwordOf = async ({ stdin }: Options): Promise<string | undefined> =>
  stdin ? (await text(process.stdin)).replace(/\r?\n$/, '') : undefined;

const tellPassword = (name: string, password: string, given: string | undefined): void => {
  if (given === undefined)
    process.stdout.write(`The password of ${name}, shown this once:\n\n    ${password}\n\n`);
  else process.stdout.write(`The password of ${name} is set.\n`);
};

const add = async (name: string, options: Options, command: Command): Promise<void> => {
  const given = await passwordOf(options);
  const password = await withUsers(command, (users) => users.add(name, options.group ?? [], given));
  tellPassword(name, password, given);
};

const setPassword = async (name: string, options: Options, command: Command): Promise<void> => {
  const given = await passwordOf(options);
  const password = await withUsers(command, (users) => users.setPassword(name, given));
  tellPassword(name, password, given);
};

const remove = async (name: string, _options: Options, command: Command): Promise<void> => {
  await withUsers(command, (users) => users.remove(name));
  process.stdout.write(`${name} is removed.\n`);
};

const list = async (_options: Options, command: Command): Promise<void> => {
  const users = await withUsers(command, (open) => open.list());
  const width = Math.max(4, ...users.map(({ name }) => name.length));
  process.stdout.write(`${'user'.padEnd(width)}  changed                   groups\n`);
  for (const { name, changedAt, groups } of users)
    process.stdout.write(
      `${name.padEnd(width)}  ${changedAt.toISOString()}  ${groups.join(' ')}\n`.trimEnd().concat('\n'),
    );
};

const collect = (group: string, groups: string[] = []): string[] => [...groups, group];
const stdinOption = ['--stdin', 'read the password from standard input instead of making one'] as const;

/** The subcommand, for ../eventstore.ts. */
export const userCommand = (): Command =>
  new Command('user')
    .configureHelp({ showGlobalOptions: true })
    .description('The users of the event store, for when it serves over TLS.')
    .addCommand(
      new Command('add')
        .description('Add a user; prints the new password once.')
        .argument('<name>')
        .option('--group <name>', 'a group to be in: $admins, $ops or your own; may be repeated', collect)
        .option(...stdinOption)
        .action(add),
    )
    .addCommand(
      new Command('password')
        .description('Replace a user’s password; prints the new one once.')
        .argument('<name>')
        .option(...stdinOption)
        .action(setPassword),
    )
    .addCommand(new Command('remove').description('Remove a user.').argument('<name>').action(remove))
    .addCommand(new Command('list').description('List the users and their groups.').action(list));
