/**
 * What sign-in works with besides the vault: recorder, challenges, mail, lists of known passwords,
 * identity providers.
 * Opened by api/main.ts; called by the rest of api/sign-in/ and by api/graphql/.
 */
import type { TenantId } from '../../domain/ids.ts';
import { signInDecider } from '../../domain/sign-in/decide.ts';
import type { SignInState } from '../../domain/sign-in/sign-in.ts';
import type { ServerConfig } from '../../platform/config.ts';
import type { Deps } from '../../platform/deps.ts';
import type { Mailer } from '../../platform/mail.ts';
import type { Tallies } from '../vault/tallies.ts';
import { type Challenges, openChallenges } from './challenge/index.ts';
import { openBreachedPasswords, openCommonPasswords } from './known-passwords.ts';
import { openProviders, type Providers } from './oidc/provider.ts';
import type { PasswordLists } from './password.ts';
import { openRecorder, type Recorder } from './record.ts';

export interface Door {
  readonly recorder: Recorder;
  readonly challenges: Challenges;
  readonly lists: PasswordLists;
  /** Identity providers of tenants. */
  readonly providers: Providers;
  /** undefined: the installation has no mail server. */
  readonly mailer: Mailer | undefined;
  /** Where links lead: MUSTER_PUBLIC_URL, else where the server listens. Never what a request says. */
  readonly publicUrl: () => string;
  close(): Promise<void>;
}

/** Opens the door. `close` waits for what is still to be told. */
export const openDoor = (
  deps: Pick<Deps, 'handler' | 'log'>,
  config: Pick<
    ServerConfig,
    'publicUrl' | 'recaptchaEndpoint' | 'breachedPasswordsDir' | 'identityProviderNetworks'
  >,
  parts: {
    readonly tallies: Tallies;
    readonly mailer: Mailer | undefined;
    readonly listensAt: () => string;
  },
): Door => {
  const { mailer } = parts;
  const recorder = openRecorder(deps, parts.tallies);
  const challenges = openChallenges({ config, log: deps.log });
  const { breachedPasswordsDir } = config;
  /** Connections can be closed once; a server may be stopped twice. */
  let closed: Promise<void> | undefined;
  const close = async (): Promise<void> => {
    await recorder.close();
    await challenges.close();
    mailer?.close();
  };
  return {
    recorder,
    challenges,
    mailer,
    providers: openProviders(config.identityProviderNetworks ?? []),
    lists: {
      common: openCommonPasswords(),
      breached: breachedPasswordsDir === undefined ? undefined : openBreachedPasswords(breachedPasswordsDir),
    },
    publicUrl: () => (config.publicUrl ?? parts.listensAt()).replace(/\/+$/, ''),
    close() {
      closed ??= close();
      return closed;
    },
  };
};

/** A change of the settings is noticed within this time, in every process. */
const maxAgeMs = 2000;

/** How a tenant's accounts sign in. `fresh` reads what was decided last, for who is about to change it. */
export const signInSettings = async (
  { handler }: Pick<Deps, 'handler'>,
  tenantId: TenantId,
  options: { readonly fresh?: boolean } = {},
): Promise<SignInState> =>
  (await handler.load(signInDecider, { tenantId, id: tenantId }, options.fresh ? {} : { maxAgeMs })).state;
