/**
 * What the routes of api/admin/ work with. Given by api/app.ts.
 */
import type { Deps } from '../../platform/deps.ts';
import type { Credentials } from '../credentials.ts';

export interface AdminParts {
  readonly deps: Deps;
  readonly credentials: Credentials;
  /** Aborts when the server stops: downloads are cut off. */
  readonly stopping: AbortSignal;
}
