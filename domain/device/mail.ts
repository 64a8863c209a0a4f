/**
 * Whether a device may reach mail, and why. Called by projections/mail.ts, which feeds the EAS proxies.
 */
import { deniesMail } from '../compliance/verdict.ts';
import type { DeviceState } from './device.ts';

/** The mail verdict on one device: `reason` is one sentence for logs and for people. */
export interface MailVerdict {
  readonly access: 'allow' | 'deny';
  readonly reason: string;
}

/** Derives the mail verdict: unenrolled devices never, then the device's own access, then compliance. */
export const mailVerdict = (state: DeviceState): MailVerdict => {
  if (state.status !== 'enrolled') return { access: 'deny', reason: 'The device is not enrolled.' };
  if (state.mailAccess === 'deny')
    return { access: 'deny', reason: 'An administrator denies mail to this device.' };
  if (state.mailAccess === 'allow')
    return { access: 'allow', reason: 'An administrator allows mail to this device.' };
  if (state.verdict === null) return { access: 'deny', reason: 'The device has no compliance verdict yet.' };
  if (!deniesMail(state.verdict)) return { access: 'allow', reason: 'No violation denies mail.' };
  const denying = state.verdict.violations.filter((violation) =>
    violation.actions.some(({ action }) => action === 'deny-mail'),
  );
  return { access: 'deny', reason: denying.map((violation) => violation.why).join(' ') };
};
