/**
 * `explainMailAccess` in GraphQL: which of the EAS proxy's rules decides, and why. Listed in schema.ts.
 */
import { z } from 'zod';
import { line } from '../../domain/text.ts';
import { MusterError } from '../../platform/errors.ts';
import { mailVerdictsOfEasId } from '../../projections/mail.ts';
import type { MailExplanation } from '../proxy/explain.ts';
import { builder } from './builder.ts';
import { signedIn } from './context.ts';

type Opinion = MailExplanation['opinions'][number];

const OpinionType = builder.objectRef<Opinion>('MailRuleOpinion').implement({
  description: 'What one rule of the EAS proxy says.',
  fields: (t) => ({
    rule: t.exposeString('rule'),
    allow: t.exposeBoolean('allow', { nullable: true, description: 'Null: it has no opinion.' }),
    reason: t.exposeString('reason', { nullable: true }),
  }),
});

const ExplanationType = builder.objectRef<MailExplanation>('MailAccessExplanation').implement({
  description: 'How an EAS proxy with the newest verdicts decides.',
  fields: (t) => ({
    allow: t.exposeBoolean('allow'),
    rule: t.exposeString('rule', { description: 'The rule that decides.' }),
    reason: t.exposeString('reason'),
    opinions: t.field({
      type: [OpinionType],
      description: 'The rules in the order in which they are asked, up to the deciding one.',
      resolve: ({ opinions }) => [...opinions],
    }),
  }),
});

builder.queryField('explainMailAccess', (t) =>
  t.field({
    type: ExplanationType,
    description: 'Which rule of the EAS proxy decides for a device and a user, and why.',
    authScopes: { permission: 'proxy.read' },
    args: {
      easDeviceId: t.arg.string({ required: true, validate: line(128) }),
      user: t.arg.string({ required: true, validate: line(320) }),
      command: t.arg.string({ validate: z.string().regex(/^[A-Za-z]{1,32}$/) }),
      userAgent: t.arg.string({ validate: line(512) }),
    },
    resolve: async (_root, { easDeviceId, user, command, userAgent }, context) => {
      if (context.explainMail === undefined)
        throw new MusterError('not-found', 'this server has no rules of the EAS proxy');
      const verdicts = await mailVerdictsOfEasId(context.deps.sql, signedIn(context).tenantId, easDeviceId);
      return context.explainMail({
        easDeviceId,
        user,
        verdicts,
        command: command ?? undefined,
        userAgent: userAgent ?? undefined,
      });
    },
  }),
);
