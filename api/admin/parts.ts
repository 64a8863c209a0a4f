/**
 * What the routes of api/admin/ work with. Given by api/app.ts.
 */
import type { ServerConfig } from '../../platform/config.ts';
import type { Deps } from '../../platform/deps.ts';
import type { Credentials } from '../credentials.ts';
import type { Denials } from '../denials.ts';

export interface AdminParts {
  readonly config: ServerConfig;
  readonly deps: Deps;
  readonly credentials: Credentials;
  readonly denials: Denials;
  /** Aborts when the server stops: downloads are cut off. */
  readonly stopping: AbortSignal;
}
