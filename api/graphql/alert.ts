/**
 * Alerts in GraphQL. Listed in schema.ts.
 */
import { countOpenAlerts, listAlerts } from '../../projections/alerts.ts';
import { findDevice } from '../../projections/devices.ts';
import { builder } from './builder.ts';
import { connectionOf, pageArgs, pageOf } from './connection.ts';
import { signedIn } from './context.ts';
import { RuleName, Severity } from './enums.ts';
import { Alert, Device } from './refs.ts';

Alert.implement({
  description: 'A violated rule that an administrator asked to be told about.',
  fields: (t) => ({
    id: t.id({ resolve: ({ alertId }) => alertId }),
    rule: t.expose('rule', { type: RuleName }),
    severity: t.expose('severity', { type: Severity }),
    why: t.exposeString('why', { description: 'In one sentence, as last reported.' }),
    openedAt: t.expose('openedAt', { type: 'DateTime' }),
    closedAt: t.expose('closedAt', {
      type: 'DateTime',
      nullable: true,
      description: 'Null while the rule is still violated.',
    }),
    deviceId: t.exposeID('deviceId'),
    device: t.field({
      type: Device,
      nullable: true,
      resolve: async ({ deviceId }, _args, context) =>
        (await findDevice(context.deps.sql, signedIn(context).tenantId, deviceId)) ?? null,
    }),
  }),
});

export const AlertConnection = connectionOf('Alert', Alert);

builder.queryField('alerts', (t) =>
  t.field({
    type: AlertConnection,
    description: 'Alerts, the newest first.',
    authScopes: { permission: 'alert.read' },
    args: { ...pageArgs, open: t.arg.boolean({ description: 'Only open, or only closed ones.' }) },
    resolve: (_root, args, context) =>
      listAlerts(
        context.deps.sql,
        signedIn(context).tenantId,
        { open: args.open ?? undefined },
        pageOf(args),
      ),
  }),
);

builder.queryField('openAlertCount', (t) =>
  t.int({
    description: 'How many alerts are open.',
    authScopes: { permission: 'alert.read' },
    resolve: (_root, _args, context) => countOpenAlerts(context.deps.sql, signedIn(context).tenantId),
  }),
);
