/**
 * Says in the log when verdicts become stale and when they no longer are. Called by instance.ts.
 */
import type { Logger } from '../platform/log.ts';
import type { Health } from './admin.ts';

/** Logs a change between two looks at the health; nothing while it stays the same. */
export const openStaleLog = (log: Logger): ((health: Health) => void) => {
  let was = false;
  return ({ stale, staleRule, lastContactAt }) => {
    if (stale === was) return;
    was = stale;
    if (!stale) {
      log.info('the server confirms the verdicts again');
      return;
    }
    const then = staleRule === 'deny' ? 'nobody is allowed' : 'devices go on as they were last known';
    log.error({ staleRule, lastContactAt }, `the server has not been heard for too long: ${then}`);
  };
};
