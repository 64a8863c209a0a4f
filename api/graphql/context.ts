/**
 * What every resolver is given. Made for each request by api/graphql/server.ts.
 */
import type { ServerConfig } from '../../platform/config.ts';
import type { Deps } from '../../platform/deps.ts';
import { MusterError } from '../../platform/errors.ts';
import type { Issuers } from '../../platform/licence.ts';
import type { ProjectionWaiter } from '../../projections/await.ts';
import type { AccountCredential, Credential, Credentials, Member, UserCredential } from '../credentials.ts';
import type { DeadJobs } from '../dead-jobs.ts';
import type { Denials } from '../denials.ts';
import type { MailExplainer } from '../proxy/explain.ts';
import type { FeedInfo } from '../proxy/main.ts';
import type { Browser } from '../sign-in/browser.ts';
import type { Door } from '../sign-in/door.ts';

export interface ApiContext {
  readonly deps: Deps;
  readonly config: ServerConfig;
  readonly credentials: Credentials;
  readonly waiter: ProjectionWaiter;
  readonly deadJobs: DeadJobs;
  readonly denials: Denials;
  /** Whose licence keys are trusted. */
  readonly issuers: Issuers;
  readonly door: Door;
  /** Where EAS proxies follow, once that is known. */
  readonly proxyFeed: () => FeedInfo | undefined;
  /** Says how EAS proxies decide; undefined where none of their code is at hand. */
  readonly explainMail: MailExplainer | undefined;
  readonly requestId: string;
  /** IP address of the caller. */
  readonly address: string;
  readonly browser: Browser;
  /** The account, API key or user of the portal that calls, null for nobody: the only source of the tenant. */
  readonly credential: Credential | null;
  /** Aborts when the server stops: subscriptions end. */
  readonly stopping: AbortSignal;
}

/** Who calls; throws `unauthenticated`, so that a resolver never works without a tenant. */
export const signedIn = (context: Pick<ApiContext, 'credential'>): Member => {
  if (context.credential === null) throw new MusterError('unauthenticated', 'sign in first');
  if (context.credential.kind === 'user') throw new MusterError('forbidden', 'an account is needed');
  return context.credential;
};

/** The user who is signed in to the portal; throws `forbidden` for an account and `unauthenticated` for nobody. */
export const portalUser = (context: Pick<ApiContext, 'credential'>): UserCredential => {
  if (context.credential === null) throw new MusterError('unauthenticated', 'sign in first');
  if (context.credential.kind !== 'user')
    throw new MusterError('forbidden', 'a user of the self-service portal is needed');
  return context.credential;
};

/** The account that calls; throws `forbidden` for an API key: what only a person does. */
export const signedInAccount = (context: Pick<ApiContext, 'credential'>): AccountCredential => {
  const credential = signedIn(context);
  if (credential.kind !== 'account') throw new MusterError('forbidden', 'an account is needed');
  return credential;
};
