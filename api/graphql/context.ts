/**
 * What every resolver is given. Made for each request by api/graphql/server.ts.
 */
import type { ServerConfig } from '../../platform/config.ts';
import type { Deps } from '../../platform/deps.ts';
import { MusterError } from '../../platform/errors.ts';
import type { Issuers } from '../../platform/licence.ts';
import type { ProjectionWaiter } from '../../projections/await.ts';
import type { AccountCredential, Credentials } from '../credentials.ts';
import type { DeadJobs } from '../dead-jobs.ts';

export interface ApiContext {
  readonly deps: Deps;
  readonly config: ServerConfig;
  readonly credentials: Credentials;
  readonly waiter: ProjectionWaiter;
  readonly deadJobs: DeadJobs;
  /** Whose licence keys are trusted. */
  readonly issuers: Issuers;
  readonly requestId: string;
  /** IP address of the caller. */
  readonly address: string;
  /** The signed-in account, null for nobody: the only source of the tenant. */
  readonly credential: AccountCredential | null;
  /** Aborts when the server stops: subscriptions end. */
  readonly stopping: AbortSignal;
}

/** The signed-in account; throws `unauthenticated`, so that a resolver never works without a tenant. */
export const signedIn = (context: Pick<ApiContext, 'credential'>): AccountCredential => {
  if (context.credential === null) throw new MusterError('unauthenticated', 'sign in first');
  return context.credential;
};
