/**
 * Records who was refused what as events, few of them however often somebody asks: the first refusal of a kind at
 * once, its repetitions counted and recorded together when their window ends. Opened by api/main.ts; called by the
 * guards of GraphQL and of routes.
 */
import { LRUCache } from 'lru-cache';
import type { Denial } from '../domain/access/access.ts';
import { accessDecider } from '../domain/access/decide.ts';
import type { Permission } from '../domain/account/permissions.ts';
import { isoTime } from '../platform/clock.ts';
import type { Deps } from '../platform/deps.ts';
import { newUuid } from '../platform/new-id.ts';
import { actorOf, type Member } from './credentials.ts';

export interface Denials {
  /** Counts a refusal; never waits and never fails, since the caller is refused anyhow. */
  record(credential: Member, operation: string, permission: Permission, address: string): void;
  /** Records what is still counted. */
  close(): Promise<void>;
}

interface Window {
  readonly credential: Member;
  readonly denial: Denial;
}

const windowMs = 600_000;
/** Kinds of refusals that are counted at the same time; of more, the oldest is recorded early. */
const maxWindows = 1_000;

/** Opens the counters. */
export const openDenials = (deps: Pick<Deps, 'handler' | 'clock' | 'log'>): Denials => {
  const { handler, clock, log } = deps;
  const writing = new Set<Promise<void>>();

  const write = ({ credential, denial }: Window): void => {
    const actor = actorOf(credential);
    const done = handler
      .handle(
        accessDecider,
        { tenantId: credential.tenantId, id: actor.id },
        { type: 'RecordDenials', denials: [denial] },
        { actor, commandId: newUuid() },
      )
      .then(
        () => {},
        (err: unknown) => log.error({ err, denial }, 'a refusal could not be recorded'),
      )
      .finally(() => writing.delete(done));
    writing.add(done);
  };

  const windows = new LRUCache<string, Window>({
    max: maxWindows,
    dispose: (window, _key, reason) => {
      if (reason !== 'set' && window.denial.count > 0) write(window);
    },
  });

  /** Ends the windows whose time is over; called whenever a refusal is counted, so that no timer runs. */
  const sweep = (now: number): void => {
    const endedBefore = isoTime(now - windowMs);
    for (const [key, { denial }] of windows.entries()) if (denial.since < endedBefore) windows.delete(key);
  };

  return {
    record(credential, operation, permission, address) {
      const now = clock();
      const at = isoTime(now);
      sweep(now);
      const key = JSON.stringify([
        credential.tenantId,
        actorOf(credential).id,
        operation,
        permission,
        address,
      ]);
      const known = windows.get(key);
      const denial = { operation, permission, address, count: 1, since: at, until: at };
      if (!known) {
        write({ credential, denial });
        windows.set(key, { credential, denial: { ...denial, count: 0 } });
        return;
      }
      const { since, count } = known.denial;
      windows.set(key, { credential, denial: { ...denial, since, count: count + 1 } });
    },
    async close() {
      windows.clear();
      await Promise.all(writing);
    },
  };
};
