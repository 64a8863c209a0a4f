/**
 * Templates of tenants in GraphQL, for operators. Listed in schema.ts; deploying them is in deployment.ts.
 */
import { z } from 'zod';
import { type TemplateId, templateId } from '../../domain/ids.ts';
import { type TemplateContent, templateContent } from '../../domain/template/content.ts';
import { templateDecider } from '../../domain/template/decide.ts';
import { templateDescription } from '../../domain/template/template.ts';
import { name } from '../../domain/text.ts';
import { newId } from '../../platform/new-id.ts';
import { findTemplate, listTemplates, type TemplateRow } from '../../projections/templates.ts';
import { builder } from './builder.ts';
import { connectionOf, pageArgs, pageOf } from './connection.ts';
import { signedIn } from './context.ts';
import { act, payloadOf, settle } from './effect.ts';
import { PolicyStatus } from './enums.ts';
import { mutation } from './mutation.ts';
import { Template } from './refs.ts';

builder.node(Template, {
  description: 'What tenants have in common, under a version number, defined once.',
  id: { resolve: (template) => template.templateId },
  fields: (t) => ({
    name: t.exposeString('name'),
    description: t.exposeString('description', { nullable: true }),
    status: t.expose('status', { type: PolicyStatus }),
    version: t.exposeInt('version'),
    content: t.expose('content', { type: 'JSON', description: 'See templateContentSchema.' }),
    createdAt: t.expose('createdAt', { type: 'DateTime' }),
    changedAt: t.expose('changedAt', { type: 'DateTime' }),
  }),
});

builder.queryField('templates', (t) =>
  t.field({
    type: connectionOf('Template', Template),
    description: 'Templates of tenants by name, retired ones too.',
    authScopes: { permission: 'operator.templates' },
    args: pageArgs,
    resolve: (_root, args, context) =>
      listTemplates(context.deps.sql, signedIn(context).tenantId, pageOf(args)),
  }),
);

builder.queryField('templateContentSchema', (t) =>
  t.field({
    type: 'JSON',
    description: 'JSON Schema of the content of a template.',
    authScopes: { permission: 'operator.templates' },
    resolve: () => z.toJSONSchema(templateContent, { io: 'input', unrepresentable: 'any' }),
  }),
);

const Payload = payloadOf<TemplateId, TemplateRow>('Template', 'template', Template, findTemplate);

/** Content as typed: an item that nothing names needs no id. */
const typedContent = z
  .unknown()
  .transform((given) => {
    if (typeof given !== 'object' || given === null) return given;
    const prefixes = {
      policies: 'pol',
      taskBundles: 'bdl',
      compliancePolicies: 'cmp',
      groups: 'grp',
    } as const;
    return Object.fromEntries(
      Object.entries(given).map(([section, items]) => {
        const prefix = prefixes[section as keyof typeof prefixes];
        if (prefix === undefined || !Array.isArray(items)) return [section, items];
        return [section, items.map((item: object) => ({ id: newId(prefix), ...item }))];
      }),
    );
  })
  .pipe(templateContent);

const contentField = { type: 'JSON', required: true, description: 'See templateContentSchema.' } as const;

mutation('createTemplate', {
  description: 'Creates a template at version 1.',
  permission: 'operator.templates',
  type: Payload,
  input: (t) => ({
    name: t.string({ required: true }).validate(name),
    description: t.string().validate(templateDescription.nullish()),
    content: t.field(contentField).validate(typedContent),
  }),
  run: async (input, context) => {
    const id = newId('tpl');
    const done = await act(context, templateDecider, id, {
      type: 'CreateTemplate',
      name: input.name,
      description: input.description ?? null,
      content: input.content as TemplateContent,
    });
    return { id, ...(await settle(context, done)) };
  },
});

mutation('renameTemplate', {
  description: 'Renames a template and describes it anew.',
  permission: 'operator.templates',
  type: Payload,
  input: (t) => ({
    templateId: t.id({ required: true }).validate(templateId),
    name: t.string({ required: true }).validate(name),
    description: t.string().validate(templateDescription.nullish()),
  }),
  run: async (input, context) => {
    const id = input.templateId;
    const description = input.description ?? null;
    const done = await act(context, templateDecider, id, {
      type: 'RenameTemplate',
      name: input.name,
      description,
    });
    return { id, ...(await settle(context, done)) };
  },
});

mutation('reviseTemplate', {
  description: 'Gives a template other content as its next version; no tenant changes until it is deployed.',
  permission: 'operator.templates',
  type: Payload,
  input: (t) => ({
    templateId: t.id({ required: true }).validate(templateId),
    content: t.field(contentField).validate(typedContent),
    expectedVersion: t.int({ description: 'The version you saw; another one refuses.' }),
  }),
  run: async (input, context) => {
    const id = input.templateId;
    const done = await act(context, templateDecider, id, {
      type: 'ReviseTemplate',
      content: input.content as TemplateContent,
      expectedVersion: input.expectedVersion ?? undefined,
    });
    return { id, ...(await settle(context, done)) };
  },
});

mutation('retireTemplate', {
  description: 'Retires a template: it is deployed no more; tenants keep what they have of it.',
  permission: 'operator.templates',
  type: Payload,
  input: (t) => ({ templateId: t.id({ required: true }).validate(templateId) }),
  run: async (input, context) => {
    const id = input.templateId;
    const done = await act(context, templateDecider, id, { type: 'RetireTemplate' });
    return { id, ...(await settle(context, done)) };
  },
});
