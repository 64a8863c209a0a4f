/**
 * The port by which the API asks the proxy's own rules: they live in proxy/, which the API may not import, so cli/
 * passes them in. Called by api/graphql/explain-mail.ts.
 */
import type { MailVerdictRow } from '../../projections/mail.ts';

/** Who would ask for mail, and what the server knows of it. */
export interface MailQuestion {
  readonly easDeviceId: string;
  readonly user: string;
  readonly command?: string | undefined;
  readonly userAgent?: string | undefined;
  /** Verdicts on devices that present this EAS id. */
  readonly verdicts: readonly MailVerdictRow[];
}

/** The decision and every rule's word up to it; `allow` of an opinion is null when the rule has none. */
export interface MailExplanation {
  readonly allow: boolean;
  readonly rule: string;
  readonly reason: string;
  readonly opinions: readonly {
    readonly rule: string;
    readonly allow: boolean | null;
    readonly reason: string | null;
  }[];
}

export type MailExplainer = (question: MailQuestion) => MailExplanation;
