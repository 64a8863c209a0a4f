/**
 * What every resolver is given. Made for each request by api/graphql/server.ts.
 */
import type { ServerConfig } from '../../platform/config.ts';
import type { Deps } from '../../platform/deps.ts';
import { MusterError } from '../../platform/errors.ts';
import type { ProjectionWaiter } from '../../projections/await.ts';
import type { AccountCredential, Credentials, UserCredential } from '../credentials.ts';
import type { DeadJobs } from '../dead-jobs.ts';

export interface ApiContext {
  readonly deps: Deps;
  readonly config: ServerConfig;
  readonly credentials: Credentials;
  readonly waiter: ProjectionWaiter;
  readonly deadJobs: DeadJobs;
  readonly requestId: string;
  /** IP address of the caller. */
  readonly address: string;
  /** The signed-in account, or user of the portal, null for nobody: the only source of the tenant. */
  readonly credential: AccountCredential | UserCredential | null;
  /** Aborts when the server stops: subscriptions end. */
  readonly stopping: AbortSignal;
}

/** The signed-in account; throws `unauthenticated`, so that a resolver never works without a tenant. */
export const signedIn = (context: Pick<ApiContext, 'credential'>): AccountCredential => {
  if (context.credential === null) throw new MusterError('unauthenticated', 'sign in first');
  if (context.credential.kind !== 'account') throw new MusterError('forbidden', 'an account is needed');
  return context.credential;
};

/** The user who is signed in to the portal; throws `forbidden` for an account and `unauthenticated` for nobody. */
export const portalUser = (context: Pick<ApiContext, 'credential'>): UserCredential => {
  if (context.credential === null) throw new MusterError('unauthenticated', 'sign in first');
  if (context.credential.kind !== 'user')
    throw new MusterError('forbidden', 'a user of the self-service portal is needed');
  return context.credential;
};
