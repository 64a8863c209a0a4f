/**
 * Job: switches the mail access of one device at the tenant's Exchange servers after its verdict changed. Queued by
 * react.ts; what Exchange has missed in an outage is made up for by repetition, and by reconcile-exchange.ts.
 */
import { deviceDecider } from '../domain/device/decide.ts';
import { mailVerdict } from '../domain/device/mail.ts';
import { exchangeDecider } from '../domain/exchange/decide.ts';
import { MusterError } from '../platform/errors.ts';
import { exchangeSecretPurpose } from '../platform/sealed-secrets.ts';
import { openController } from './exchange/controller.ts';
import { newCounts, reconcileMailbox, recordFailure, type Work } from './exchange/reconcile.ts';
import type { JobKind } from './jobs.ts';

/** Settings may be this old: a connection made just now compares every mailbox anyway. */
const settingsAgeMs = 2000;

const switchAt = async (
  base: Omit<Work, 'controller'>,
  mailbox: string,
  wanted: Parameters<typeof reconcileMailbox>[2],
): Promise<string> => {
  const { parts, tenantId, name, connection } = base;
  const secret = await parts.secrets.get(tenantId, exchangeSecretPurpose(name));
  if (secret === null) throw new MusterError('exchange-refused', 'the secret of the connection is not set');
  const { clock } = parts.deps;
  const allowLoopback = parts.config.exchangeAllowLoopback;
  const controller = await openController(connection.settings, secret, { allowLoopback, clock });
  const work = { ...base, controller };
  try {
    // Only this device: what concerns the others of the mailbox, such as EWS, is for the comparison of all.
    const settings = { ...connection.settings, bindUnknown: false };
    const alone = settings.kind === 'on-premises' ? { ...settings, ewsFollowsMail: false } : settings;
    const narrowed = { ...work, connection: { ...connection, settings: alone } };
    await reconcileMailbox(narrowed, mailbox, wanted, () => false, newCounts());
    return 'switched';
  } finally {
    await controller.close();
  }
};

export const switchMailAccess: JobKind<'switch-mail-access'> = {
  queue: 'switch-mail-access',
  concurrency: 4,
  async run(job, parts) {
    const { origin, deviceId } = job.data;
    const { tenantId } = origin;
    const { handler } = parts.deps;
    const { state } = await handler.load(
      exchangeDecider,
      { tenantId, id: tenantId },
      { maxAgeMs: settingsAgeMs },
    );
    const connections = Object.entries(state.connections).filter(([, { settings }]) => !settings.dryRun);
    if (connections.length === 0) return { outcome: 'no-connection' };
    const device = await handler.load(deviceDecider, { tenantId, id: deviceId });
    const { userEmail, platform, status, inventory } = device.state;
    if (!userEmail || !platform) return { outcome: 'no-mailbox' };
    const mailbox = userEmail.toLowerCase();
    const { access, reason } = mailVerdict(device.state);
    const outcomes: Record<string, string> = {};
    for (const [name, connection] of connections) {
      const id = inventory.easDeviceId ?? connection.bound[deviceId] ?? null;
      const settled = connection.switched[deviceId];
      const wantedAccess = access === 'allow' ? 'allow' : 'block';
      const same =
        settled?.mailbox === mailbox && settled.partnershipId === id && settled.access === wantedAccess;
      // Most verdicts repeat the last one: drift is for the comparison of all to find.
      if (id === null || (same && !connection.failing[deviceId])) {
        outcomes[name] = id === null ? 'id-unknown' : 'in-step';
        continue;
      }
      const base = {
        parts,
        tenantId,
        name,
        connection,
        dryRun: false,
        job: { queue: 'switch-mail-access', id: `${job.id}.${name}`, origin },
      } as const;
      const wanted = [
        { deviceId, partnershipId: id, platform, enrolled: status === 'enrolled', access, reason },
      ];
      try {
        outcomes[name] = await switchAt(base, mailbox, wanted);
      } catch (error) {
        if (!(error instanceof MusterError)) throw error;
        await recordFailure(base, mailbox, [deviceId], error);
        // What may pass is tried again; the rest waits for an administrator, who sees it.
        if (error.retryable) throw error;
        outcomes[name] = error.code;
      }
    }
    return outcomes;
  },
};
