/**
 * The workers: the reactor, which turns events into jobs, and the jobs. Started by cli/ with `start(config, deps)`.
 */
import type { ServerConfig } from '../platform/config.ts';
import type { Deps } from '../platform/deps.ts';
import { openSeal } from '../platform/seal.ts';
import { openSealedSecrets } from '../platform/sealed-secrets.ts';
import { openProjectionWaiter } from '../projections/await.ts';
import { actOnVerdict } from './act-on-verdict.ts';
import { bindSeenDevice } from './bind-mail-device.ts';
import { deployTemplate } from './deploy-template.ts';
import { openPauses } from './exchange/pauses.ts';
import { issueHandout } from './issue-handout.ts';
import type { Parts } from './jobs.ts';
import { purgeTenants } from './purge-tenants.ts';
import { openPushServices } from './push/index.ts';
import { openJobQueues } from './queues.ts';
import { startReactor } from './reactor.ts';
import { reconcileExchange } from './reconcile-exchange.ts';
import { releaseSeat } from './release-seat.ts';
import { reviewDevices } from './review-devices.ts';
import { reviewDirectories } from './review-directories.ts';
import { reviewExchange } from './review-exchange.ts';
import { reviewFleet } from './review-fleet.ts';
import { reviewLicence, tellLicence } from './review-licence.ts';
import { reviewSeats } from './review-seats.ts';
import { runJobs } from './run.ts';
import { runImport } from './run-import.ts';
import { openSwitchMailAccess } from './switch-mail-access.ts';
import { syncDirectory } from './sync-directory.ts';
import { transferTaskBundle } from './transfer-task-bundle.ts';
import { openWakeDevice } from './wake-device.ts';
import { wakePolicyDevices } from './wake-policy-devices.ts';

/** Running workers. `failed` resolves when they cannot go on: the process should end, loudly. */
export interface Workers {
  readonly failed: Promise<Error>;
  /** Ends the reactor, gives back long jobs, waits for short ones, and closes queues and push connections. */
  stop(): Promise<void>;
}

/** Seats that no device took in the end are given back minutes later anyway. */
const reviewSeatsEveryMs = 60_000;
const reviewLicenceEveryMs = 24 * 3_600_000;
/** How often it is looked which directories are due for a sync: an interval is of hours. */
const directoriesEveryMs = 60_000;
/** How often it is looked which mailboxes are due for a comparison. */
const exchangeEveryMs = 60_000;

/** Opened parts end in the reverse order of their opening. */
type Ending = () => Promise<unknown>;

/** Starts the reactor and a worker for every queue. Throws `config-invalid` when push is configured wrongly. */
export const start = async (config: ServerConfig, deps: Deps): Promise<Workers> => {
  const stopping = new AbortController();
  const endings: Ending[] = [];
  const stop = async () => {
    for (const end of endings.splice(0).reverse()) await end();
  };
  try {
    const push = await openPushServices({ config, clock: deps.clock, log: deps.log });
    endings.push(push.close);
    const projected = await openProjectionWaiter(deps);
    endings.push(projected.close);
    const queues = await openJobQueues(deps.queues);
    endings.push(queues.close);
    const secrets = openSealedSecrets(deps.sql, openSeal(config));
    const pauses = openPauses(deps.clock);
    const parts: Parts = {
      config,
      deps,
      push,
      secrets,
      pauses,
      projected,
      queues,
      stopping: stopping.signal,
    };
    const workers = [
      runJobs(openWakeDevice(), parts),
      runJobs(wakePolicyDevices, parts),
      runJobs(transferTaskBundle, parts),
      runJobs(actOnVerdict, parts),
      runJobs(deployTemplate, parts),
      runJobs(purgeTenants, parts),
      runJobs(reviewDevices, parts),
      runJobs(reviewFleet, parts),
      runJobs(releaseSeat, parts),
      runJobs(reviewSeats, parts),
      runJobs(reviewLicence, parts),
      runJobs(runImport, parts),
      runJobs(issueHandout, parts),
      runJobs(reviewDirectories, parts),
      runJobs(syncDirectory, parts),
      runJobs(openSwitchMailAccess(), parts),
      runJobs(reviewExchange, parts),
      runJobs(reconcileExchange, parts),
      runJobs(bindSeenDevice, parts),
    ];
    endings.push(() => {
      // No more jobs are taken; then those that are long give back theirs.
      const closed = Promise.all(workers.map((worker) => worker.close()));
      stopping.abort();
      return closed;
    });
    await Promise.all(workers.map((worker) => worker.waitUntilReady()));
    for (const name of ['review-devices', 'purge-tenants'] as const)
      await queues.schedule(name, config.reviewIntervalSeconds * 1000);
    await queues.schedule('review-seats', reviewSeatsEveryMs);
    await queues.schedule('review-licence', reviewLicenceEveryMs);
    await tellLicence(deps);
    await queues.schedule('review-directories', directoriesEveryMs);
    await queues.schedule('review-exchange', exchangeEveryMs);
    const reactor = startReactor(deps, queues);
    endings.push(reactor.stop);
    return { failed: reactor.failed, stop };
  } catch (error) {
    await stop();
    throw error;
  }
};
