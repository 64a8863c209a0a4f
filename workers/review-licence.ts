/**
 * Job: writes a line to the log, daily and at each start, while the licence is about to expire or has expired.
 * Scheduled by main.ts; the state itself is in GraphQL (`licence`).
 */
import { licenceDecider } from '../domain/licence/decide.ts';
import { validityAt } from '../domain/licence/entitlement.ts';
import { isoTime } from '../platform/clock.ts';
import type { Deps } from '../platform/deps.ts';
import { theLicence } from '../platform/licence.ts';
import type { JobKind } from './jobs.ts';

/** Tells the log what is to be told; answers the state of the licence. */
export const tellLicence = async ({
  handler,
  clock,
  log,
}: Pick<Deps, 'handler' | 'clock' | 'log'>): Promise<'missing' | 'valid' | 'expiring' | 'expired'> => {
  const { state } = await handler.load(licenceDecider, theLicence);
  if (state.status === 'none' || state.grant === null) return 'missing';
  const { kind, expiresAt } = state.grant;
  const validity = validityAt(state.grant, isoTime(clock()));
  const line = { kind, expiresAt, daysLeft: validity.daysLeft };
  if (validity.state === 'expiring') log.warn(line, 'the licence expires soon');
  if (validity.state === 'expired')
    log.error(line, 'the licence has expired: no new enrolments and tasks; everything else goes on');
  return validity.state;
};

export const reviewLicence: JobKind<'review-licence'> = {
  queue: 'review-licence',
  concurrency: 1,
  run: async (_job, { deps }) => ({ state: await tellLicence(deps) }),
};
