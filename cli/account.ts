/**
 * `muster account`: lets people in again who locked themselves out, beside a running server, for whoever may read its
 * data folder. Administrators do the same for each other in GraphQL; this is for the last one.
 */
import { Command } from 'commander';
import { openCredentials } from '../api/credentials.ts';
import { findAccountOf, findTenantOf } from '../api/reservation.ts';
import { endSessions } from '../api/sign-in/end-sessions.ts';
import { openRecorder } from '../api/sign-in/record.ts';
import { type AccountCommand, accountDecider } from '../domain/account/decide.ts';
import { isRefusal } from '../domain/refusals.ts';
import type { SessionEnd } from '../domain/sign-in/sign-in.ts';
import { readConfig, serverSettings } from '../platform/config.ts';
import { openDeps } from '../platform/deps.ts';
import { describeCode, MusterError } from '../platform/errors.ts';
import { openLog } from '../platform/log.ts';
import { newUuid } from '../platform/new-id.ts';
import { findRunning } from './running.ts';

interface Options {
  readonly tenant: string;
  readonly email: string;
  readonly dataDir?: string;
}

const actor = { kind: 'system', id: 'muster-account' } as const;

const say = (line: string): void => {
  process.stdout.write(`${line}\n`);
};

/** The write side and the vault of the server that runs on the data folder. */
const openBeside = async (dataDir: string | undefined) => {
  const config = readConfig(serverSettings, { dataDir });
  const running = findRunning(config.dataDir);
  if (running?.databaseUrl === undefined)
    throw new MusterError(
      'dependency-unavailable',
      `No server runs on ${config.dataDir}: start it with muster serve.`,
    );
  const { databaseUrl, eventStoreUrl } = running;
  const deps = await openDeps({ databaseUrl, eventStoreUrl }, openLog({ level: 'error', name: 'account' }));
  const credentials = await openCredentials(deps, config);
  return { deps, credentials, recorder: openRecorder(deps, credentials.tallies) };
};
type Beside = Awaited<ReturnType<typeof openBeside>>;

const ownerOf = async ({ deps }: Beside, { tenant, email }: Options) => {
  const tenantId = await findTenantOf(deps.handler, tenant.toLowerCase());
  const accountId = tenantId && (await findAccountOf(deps.handler, tenantId, email.toLowerCase()));
  if (!tenantId || !accountId)
    throw new MusterError('invalid-input', `no account ${email} in a tenant ${tenant}`, { field: '--email' });
  return { tenantId, accountId };
};

/** Tells the log, then ends the sessions of the account; `change` is done to the vault between the two. */
const takeOver = async <T>(
  options: Options,
  command: AccountCommand,
  reason: SessionEnd,
  change: (beside: Beside, owner: Awaited<ReturnType<typeof ownerOf>>) => Promise<T>,
): Promise<T> => {
  const beside = await openBeside(options.dataDir);
  try {
    const owner = await ownerOf(beside, options);
    const requestId = newUuid();
    const handled = await beside.deps.handler.handle(
      accountDecider,
      { tenantId: owner.tenantId, id: owner.accountId },
      command,
      { actor, commandId: requestId },
    );
    if (isRefusal(handled)) {
      const { title, advice } = describeCode(handled.refused);
      throw new MusterError('invalid-input', `${handled.refused}: ${title}. ${advice}`);
    }
    const changed = await change(beside, owner);
    const { credentials, recorder } = beside;
    const { ended } = await endSessions(
      { credentials, door: { recorder }, requestId, address: 'the server itself' },
      owner,
      {
        reason,
        by: actor,
      },
    );
    say(`${ended} session${ended === 1 ? '' : 's'} ended`);
    return changed;
  } finally {
    await beside.recorder.close();
    await beside.deps.close();
  }
};

const resetSecondFactor = (options: Options): Promise<void> =>
  takeOver(
    options,
    { type: 'ResetSecondFactor' },
    'second-factor-changed',
    async ({ credentials }, owner) => {
      await credentials.secondFactors.remove(owner);
      await credentials.passkeys.removeAll(owner);
      say(`The password of ${options.email} is enough to sign in; approving waits for a day.`);
    },
  );

const resetPassword = (options: Options): Promise<void> =>
  takeOver(
    options,
    { type: 'ChangeAccountPassword', mustChange: true },
    'password-changed',
    async ({ credentials }, owner) => {
      await credentials.links.endAll(owner.tenantId, owner.accountId);
      say(`one-time password   ${await credentials.passwords.issue(owner)}   it must be changed at sign-in`);
    },
  );

const subcommand = (name: string, description: string, run: (options: Options) => Promise<void>): Command =>
  new Command(name)
    .description(description)
    .requiredOption('--tenant <short name>', 'of the tenant; that of operators is "operator"')
    .requiredOption('--email <address>', 'of the account')
    .option('--data-dir <folder>', 'data folder of the running server (MUSTER_DATA_DIR)')
    .action(run);

/** The subcommand, for muster.ts. */
export const accountCommand = (): Command =>
  new Command('account')
    .description('Let people in again who locked themselves out, beside a running server.')
    .addCommand(
      subcommand(
        'reset-second-factor',
        'Turn off authenticator app, recovery codes and passkeys of an account.',
        resetSecondFactor,
      ),
    )
    .addCommand(subcommand('reset-password', 'Give an account a new one-time password.', resetPassword));
