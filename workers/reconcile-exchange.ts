/**
 * Job: compares every mailbox of a connection with what Muster wants and repairs what differs, or in a dry run only
 * says so. Queued by review-exchange.ts, and by react.ts when an administrator asks for it.
 */
import { exchangeDecider } from '../domain/exchange/decide.ts';
import { isoTime } from '../platform/clock.ts';
import { MusterError } from '../platform/errors.ts';
import { exchangeSecretPurpose } from '../platform/sealed-secrets.ts';
import { asLine } from './exchange/cmdlets.ts';
import { openController } from './exchange/controller.ts';
import {
  barApps,
  isOfMailbox,
  newCounts,
  outcomeOf,
  reconcileMailbox,
  recordFailure,
  tell,
  type Work,
} from './exchange/reconcile.ts';
import { readWanted } from './exchange/wanted.ts';
import { eachOf } from './in-turn.ts';
import type { JobKind } from './jobs.ts';
import { untilProjected } from './pages.ts';

const mailboxesAtOnce = 4;

const reconcile = async (work: Work) => {
  const { parts, tenantId, connection, controller, dryRun } = work;
  const counts = newCounts();
  const level = await controller.readDefaultAccessLevel();
  await barApps(work, counts);
  const { byMailbox, elsewhere } = await readWanted(parts, tenantId, connection.bound);
  // People who have no device any more may still have one of theirs let in.
  const left = Object.values(connection.switched).map(({ mailbox }) => mailbox);
  const mailboxes = [...new Set([...byMailbox.keys(), ...left])];
  await eachOf(mailboxes, mailboxesAtOnce, async (mailbox) => {
    parts.stopping.throwIfAborted();
    const wanted = byMailbox.get(mailbox) ?? [];
    counts.mailboxes += 1;
    try {
      await reconcileMailbox(work, mailbox, wanted, elsewhere(mailbox), counts);
    } catch (error) {
      if (!isOfMailbox(error)) throw error;
      counts.failed += 1;
      if (!dryRun)
        await recordFailure(
          work,
          mailbox,
          wanted.map(({ deviceId }) => deviceId),
          error,
        );
    }
  });
  return outcomeOf(counts, dryRun, level);
};

export const reconcileExchange: JobKind<'reconcile-exchange'> = {
  queue: 'reconcile-exchange',
  concurrency: 2,
  async run(job, parts) {
    const { tenantId, name, dryRun, origin } = job.data;
    const { handler, clock } = parts.deps;
    if (origin) await untilProjected(parts, BigInt(origin.position));
    const { state } = await handler.load(exchangeDecider, { tenantId, id: tenantId });
    const connection = state.connections[name];
    if (!connection) return { reconciled: false };
    const startedAt = isoTime(clock());
    const base = {
      parts,
      tenantId,
      name,
      connection,
      dryRun: dryRun || connection.settings.dryRun,
      job: { queue: 'reconcile-exchange', id: job.id, origin },
    } as const;
    const run = async () => {
      const secret = await parts.secrets.get(tenantId, exchangeSecretPurpose(name));
      if (secret === null)
        throw new MusterError('exchange-refused', 'the secret of the connection is not set');
      const allowLoopback = parts.config.exchangeAllowLoopback;
      const { pauses } = parts;
      const open = { allowLoopback, clock, pauses, tenantId };
      const controller = await openController(connection.settings, secret, open);
      try {
        return await reconcile({ ...base, controller });
      } finally {
        await controller.close();
      }
    };
    const outcome = await run().catch((error: unknown) => {
      if (error instanceof MusterError && error.code.startsWith('exchange-')) return error;
      throw error;
    });
    if (outcome instanceof MusterError) {
      const { code, message } = outcome;
      const since = connection.failure?.since ?? startedAt;
      parts.deps.log.error({ tenantId, name, code, since, reason: message }, 'Exchange cannot be compared');
      await tell(base, 'record', {
        type: 'RecordReconciliationFailure',
        name,
        startedAt,
        code,
        reason: asLine(message),
      });
      return { reconciled: false, code };
    }
    await tell(base, 'record', { type: 'RecordReconciliation', name, startedAt, outcome });
    return { reconciled: true };
  },
};
