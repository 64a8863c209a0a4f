/**
 * Lends the EAS proxy's rules to the API, over the verdicts that the server itself knows. Passed on by server.ts.
 */
import type { MailExplainer } from '../api/proxy/explain.ts';
import { systemClock } from '../platform/clock.ts';
import { explain } from '../proxy/explain.ts';
import { nothingKnown } from '../proxy/table.ts';

/** Explains as a proxy would that has just heard the server. */
export const explainMail: MailExplainer = ({ easDeviceId, user, command, userAgent, verdicts }) => {
  const known = { ...nothingKnown(), contactAt: systemClock() };
  for (const { tenantId: _, changedPosition, ...verdict } of verdicts)
    known.table.upsert({ ...verdict, position: Number(changedPosition) });
  return explain(
    { maxAgeMs: 3_600_000, known, clock: systemClock, instance: null, clientCertificates: null },
    { deviceId: easDeviceId, user, command, userAgent },
  );
};
