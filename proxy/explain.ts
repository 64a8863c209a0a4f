/**
 * Says which rule decides on a request that nobody has to send: the same reading, the same question and the same rules
 * as for a real one, with each rule's opinion in order. Called by admin.ts, by `muster proxy explain` and, through
 * cli/, by the server's GraphQL.
 */
import type { ClientCertificates } from './client-certificates.ts';
import { clientProblem } from './clients.ts';
import type { InstanceConfig } from './config.ts';
import { readCredential } from './credential.ts';
import { decide } from './decide.ts';
import { easPath, readTarget } from './eas.ts';
import { type QuestionParts, questionOf } from './gate.ts';
import { readHeaders } from './headers.ts';
import type { Decision } from './question.ts';
import { rules } from './rules/index.ts';

/** Who would ask for what. */
export interface ExplainInput {
  readonly deviceId: string;
  /** As the phone signs in: `alice`, `DOMAIN\alice` or `alice@example.org`. */
  readonly user: string;
  /** ActiveSync command; the body is taken to be of the same one. */
  readonly command?: string | undefined;
  readonly deviceType?: string | undefined;
  readonly userAgent?: string | undefined;
  /** The device's certificate, PEM. Without it a good one is taken for granted. */
  readonly certificate?: string | undefined;
}

/** What explaining takes; `clientCertificates` where the instance asks for them. */
export interface ExplainParts extends QuestionParts {
  /** Null where no proxy is asked: which mail apps it lets through is not known then. */
  readonly instance: InstanceConfig | null;
  readonly clientCertificates?: Pick<ClientCertificates, 'judge'> | null;
}

/** One rule's word; null: it has no opinion. */
export interface Opinion {
  readonly rule: string;
  readonly allow: boolean | null;
  readonly reason: string | null;
}

/** The decision and how it came about; rules after the deciding one are not asked. */
export interface Explanation extends Decision {
  readonly opinions: readonly Opinion[];
}

/** Explains. Never throws: what cannot be read is a reason, too. */
export const explain = (parts: ExplainParts, input: ExplainInput): Explanation => {
  const { deviceId, user, command = 'Sync', deviceType = 'SmartPhone', userAgent = 'muster-explain' } = input;
  const question = questionOf(
    parts,
    {
      method: 'POST',
      target: {
        space: 'eas',
        request: readTarget(
          'POST',
          `${easPath}?Cmd=${command}&DeviceId=${deviceId}&DeviceType=${deviceType}`,
        ),
        path: easPath,
      },
      clientProblem: parts.instance === null ? null : clientProblem(userAgent, parts.instance),
      headers: readHeaders(['Host', 'host', 'explain', 'User-Agent', 'user-agent', userAgent], '1.1'),
      credential: readCredential(`Basic ${Buffer.from(`${user}:`).toString('base64')}`),
    },
    { command, problem: null },
    input.certificate === undefined
      ? null
      : (parts.clientCertificates?.judge(input.certificate, parts.clock()) ?? null),
  );
  const opinions: Opinion[] = [];
  for (const rule of rules.eas) {
    const opinion = rule.judge(question);
    opinions.push({ rule: rule.name, allow: opinion?.allow ?? null, reason: opinion?.reason ?? null });
    if (opinion !== null) break;
  }
  return { ...decide(question), opinions };
};
