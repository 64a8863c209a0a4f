/**
 * Installed apps in GraphQL. Listed in schema.ts.
 */
import { z } from 'zod';
import { tenantDecider } from '../../domain/tenant/decide.ts';
import type { Ownership } from '../../domain/text.ts';
import { listTenantApps } from '../../projections/apps.ts';
import { builder } from './builder.ts';
import { connectionOf, pageArgs, pageOf } from './connection.ts';
import { type ApiContext, signedIn } from './context.ts';
import { App, DeviceApp } from './refs.ts';

/** Start of a name to look for. NUL is no character that PostgreSQL can compare with. */
export const searchText = z
  .string()
  .max(200)
  .refine((text) => !/[\p{Cc}\p{Cs}]/u.test(text), 'contains a character that no name can contain');

/** Whether the privacy of the tenant lets the apps of a device of that ownership be shown; known within two seconds. */
export const mayShowApps = async (context: ApiContext, ownership: Ownership): Promise<boolean> => {
  if (ownership !== 'personal') return true;
  const { tenantId } = signedIn(context);
  const maxAgeMs = 2000;
  const target = { tenantId, id: tenantId };
  const { state } = await context.deps.handler.load(tenantDecider, target, { maxAgeMs });
  return state.status !== 'none' && state.privacy.showApps;
};

DeviceApp.implement({
  description: 'An app on a device.',
  fields: (t) => ({
    appId: t.string({ description: 'Bundle id or package name.', resolve: ({ id }) => id }),
    name: t.exposeString('name'),
    version: t.exposeString('version'),
  }),
});
export const DeviceAppConnection = connectionOf('DeviceApp', DeviceApp);

App.implement({
  description: 'An app that is on at least one device of the tenant.',
  fields: (t) => ({
    appId: t.string({ description: 'Bundle id or package name.', resolve: ({ id }) => id }),
    name: t.exposeString('name', { description: 'As last reported.' }),
    deviceCount: t.exposeInt('deviceCount'),
  }),
});

builder.queryField('apps', (t) =>
  t.field({
    type: connectionOf('App', App),
    description: 'Apps of the tenant by name; of corporate devices alone when its privacy says so.',
    authScopes: { permission: 'app.read' },
    args: { ...pageArgs, search: t.arg.string({ validate: searchText, description: 'Start of the name.' }) },
    resolve: async (_root, args, context) =>
      listTenantApps(context.deps.sql, signedIn(context).tenantId, pageOf(args), {
        search: args.search ?? undefined,
        corporateOnly: !(await mayShowApps(context, 'personal')),
      }),
  }),
);
