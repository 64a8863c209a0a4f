/**
 * Puts what happens at the door into the tenant's log. Failures are told after the answer, so that the answer takes
 * as long for accounts that exist as for others. Opened by door.ts.
 */

import type { AccountId, TenantId } from '../../domain/ids.ts';
import { isRefusal } from '../../domain/refusals.ts';
import { type DoorEvent, signInDecider } from '../../domain/sign-in/decide.ts';
import type { Deps } from '../../platform/deps.ts';
import { MusterError } from '../../platform/errors.ts';
import type { Actor } from '../../platform/event-store.ts';
import type { Handled } from '../../platform/handle.ts';
import { newUuid } from '../../platform/new-id.ts';
import type { Tallies } from '../vault/tallies.ts';

export interface Recorder {
  /** Appends a fact. Without an actor, Muster itself caused it. */
  tell(
    tenantId: TenantId,
    event: DoorEvent,
    cause: { readonly actor?: Actor; readonly requestId?: string },
  ): Promise<Pick<Handled<unknown, unknown>, 'position'>>;
  /** Counts a failure, or an attempt that had to wait, and appends what is worth telling; not waited for. */
  count(kind: 'failed' | 'paused', tenantId: TenantId, accountId: AccountId | null, address: string): void;
  /** Does something after the answer; what goes wrong is logged. */
  later(what: string, work: () => Promise<void>): void;
  /** Waits for what is still to be told. */
  close(): Promise<void>;
}

const doorman: Actor = { kind: 'system', id: 'sign-in' };

/** More than this at once is not recorded but logged: the door must not fill the memory. */
const pendingAtMost = 1000;

/** Opens the recorder. */
export const openRecorder = ({ handler, log }: Pick<Deps, 'handler' | 'log'>, tallies: Tallies): Recorder => {
  const pending = new Set<Promise<void>>();

  const tell: Recorder['tell'] = async (tenantId, event, { actor = doorman, requestId = newUuid() }) => {
    const told = await handler.handle(
      signInDecider,
      { tenantId, id: tenantId },
      { type: 'RecordAtDoor', event },
      // One request may tell several things: each has a command id of its own.
      { actor, commandId: `${requestId}-${event.type}`, correlationId: requestId },
    );
    if (isRefusal(told)) throw new MusterError('internal', `${event.type} was refused`);
    return told;
  };

  const later: Recorder['later'] = (what, work) => {
    if (pending.size >= pendingAtMost) {
      log.warn({ what }, 'too much happens at the door to record it');
      return;
    }
    const run = work()
      .catch((err: unknown) => log.error({ err, what }, 'work after sign-in failed'))
      .finally(() => pending.delete(run));
    pending.add(run);
  };

  return {
    tell,
    later,
    count: (kind, tenantId, accountId, address) =>
      later(kind, async () => {
        const due = await tallies.count(kind, tenantId, accountId, address);
        if (!due) return;
        const where = { accountId, address: due.address };
        await tell(
          tenantId,
          kind === 'failed'
            ? { type: 'SignInsFailed', data: { ...where, failures: due.times } }
            : { type: 'SignInsPaused', data: { ...where, attempts: due.times } },
          {},
        );
      }),
    async close() {
      while (pending.size > 0) await Promise.all(pending);
    },
  };
};
