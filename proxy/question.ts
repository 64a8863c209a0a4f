/**
 * What is asked of the rules and what they answer. Imported by decide.ts and by every rule.
 */
import type { ShownCertificate } from './client-certificates.ts';
import type { Credential } from './credential.ts';
import type { EasRequest, Unreadable } from './eas.ts';
import type { StaleRule, Verdict } from './table.ts';
import type { Space } from './target.ts';

/** All that rules may look at. */
export interface Question {
  /** The protocol, which says which rules are asked. */
  readonly space: Space;
  readonly method: string;
  /** Why the message framing or its headers cannot be trusted, or null. */
  readonly malformed: string | null;
  readonly eas: EasRequest | Unreadable;
  readonly credential: Credential;
  /** What the client showed of itself; null where no certificates are asked for. */
  readonly certificate: ShownCertificate | null;
  /** Devices known under the request's EAS id; empty when unknown. */
  readonly devices: readonly Verdict[];
  /** Why this mail app is not let through, or null. */
  readonly clientProblem: string | null;
  /** Devices whose user may be the credential's; filled only where no device is named: `DeviceId=validate` and EWS. */
  readonly devicesOfUser: readonly Verdict[];
  /** The command that the body really is; null when not peeked at or not recognisable. */
  readonly bodyCommand: string | null;
  /** Why the body is not what the request may send; null when it is, or before it was looked at. */
  readonly bodyProblem: string | null;
  /** Time since the server last confirmed the table; null when it never did. */
  readonly tableAgeMs: number | null;
  readonly maxAgeMs: number;
  /** What the tenant wants of verdicts that are older than that. */
  readonly staleRule: StaleRule;
}

/** The outcome: which rule decided and why, in words an operator can act on. */
export interface Decision {
  readonly allow: boolean;
  readonly rule: string;
  readonly reason: string;
}

/** One rule: its name appears in the log and in `X-Muster-Reason`; `judge` answers null when it has no opinion. */
export interface Rule {
  readonly name: string;
  readonly judge: (question: Question) => { readonly allow: boolean; readonly reason: string } | null;
}

/** The request if it was readable, else null; rules after `request` can rely on it. */
export const requestOf = (question: Question): EasRequest | null =>
  'unreadable' in question.eas ? null : question.eas;
