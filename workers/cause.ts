/**
 * The cause that jobs give to the commands they send. Called by jobs.
 */

import type { Cause } from '../platform/handle.ts';
import type { QueueName } from '../platform/queue.ts';
import type { Origin } from './jobs.ts';

/** The job as actor; the event it reacts to, if it does, as cause. A repeated job gives the same cause. */
export const causeOf = (queue: QueueName, commandId: string, origin?: Origin): Cause => ({
  actor: { kind: 'system', id: queue },
  commandId,
  ...(origin ? { causationId: origin.eventId, correlationId: origin.correlationId } : {}),
});
