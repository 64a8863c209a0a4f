/**
 * The tenant's Exchange connections in GraphQL: settings, what was done, what a comparison would do, and unknown
 * partnerships. Listed in schema.ts; the work itself is done by jobs.
 */
import { z } from 'zod';
import { exchangeDecider } from '../../domain/exchange/decide.ts';
import {
  connectionName,
  type ExchangeConnection,
  type ExchangeSettings,
  exchangeSettings,
} from '../../domain/exchange/exchange.ts';
import { MusterError } from '../../platform/errors.ts';
import { newUuid } from '../../platform/new-id.ts';
import { exchangeSecretPurpose } from '../../platform/sealed-secrets.ts';
import { builder } from './builder.ts';
import { signedIn } from './context.ts';
import { act, type Effect, EffectInterface, settle, stateOf } from './effect.ts';
import { mutation } from './mutation.ts';

type Named = ExchangeConnection & { readonly name: string };

const anyCertificate =
  'UNSAFE: any certificate is taken for that of Exchange, so anybody on the way can read the account and its password.';
const openToUnmanaged =
  'Exchange lets in devices that nobody spoke of (default access level Allow): unmanaged devices have mail. Set it to Block or Quarantine.';

const warningsOf = ({ settings, last, failure }: ExchangeConnection): string[] => [
  ...(failure === null
    ? []
    : [`Mailboxes cannot be compared since ${failure.since}: verdicts may not reach Exchange.`]),
  ...(settings.allowAnyCertificate ? [anyCertificate] : []),
  ...(last?.outcome.defaultAccessLevel === 'Allow' ? [openToUnmanaged] : []),
];

const FailingType = builder
  .objectRef<{ deviceId: string; mailbox: string; code: string; reason: string; since: string }>(
    'ExchangeFailingDevice',
  )
  .implement({
    description: 'A device whose mail access cannot be switched.',
    fields: (t) => ({
      deviceId: t.exposeString('deviceId'),
      mailbox: t.exposeString('mailbox'),
      code: t.exposeString('code', { description: 'See the list of error codes.' }),
      reason: t.exposeString('reason'),
      since: t.expose('since', { type: 'DateTime' }),
    }),
  });

const ConnectionType = builder.objectRef<Named>('ExchangeConnection').implement({
  description:
    'An Exchange whose mailboxes Muster switches, while mail flows past it. Its secret is never shown.',
  fields: (t) => ({
    name: t.exposeString('name'),
    settings: t.field({ type: 'JSON', resolve: ({ settings }) => settings }),
    warnings: t.stringList({ description: 'What is dangerous, open or failing.', resolve: warningsOf }),
    lastReconciledAt: t.field({ type: 'DateTime', nullable: true, resolve: ({ last }) => last?.at ?? null }),
    lastOutcome: t.field({
      type: 'JSON',
      nullable: true,
      description:
        'Of the last comparison: counts, the first hundred changes (made, or that would be made), and the first hundred unknown partnerships.',
      resolve: ({ last }) => last?.outcome ?? null,
    }),
    failingSince: t.field({
      type: 'DateTime',
      nullable: true,
      description: 'Since when comparisons fail; null: the last went well.',
      resolve: ({ failure }) => failure?.since ?? null,
    }),
    failure: t.string({ nullable: true, resolve: ({ failure }) => failure?.reason ?? null }),
    failureCode: t.string({ nullable: true, resolve: ({ failure }) => failure?.code ?? null }),
    failingDevices: t.field({
      type: [FailingType],
      resolve: ({ failing }) => Object.entries(failing).map(([deviceId, fault]) => ({ deviceId, ...fault })),
    }),
    dueAt: t.expose('dueAt', { type: 'DateTime', description: 'When mailboxes are compared next.' }),
  }),
});

builder.queryField('exchangeConnections', (t) =>
  t.field({
    type: [ConnectionType],
    description: 'The Exchange connections of the tenant.',
    authScopes: { permission: 'exchange.read' },
    resolve: async (_root, _args, context) => {
      const { connections } = await stateOf(context, exchangeDecider, signedIn(context).tenantId);
      return Object.entries(connections).map(([name, connection]) => ({ name, ...connection }));
    },
  }),
);

interface Changed extends Effect {
  readonly connection: Named | null;
}

const Payload = builder.objectRef<Changed>('ExchangePayload').implement({
  interfaces: [EffectInterface],
  fields: (t) => ({ connection: t.expose('connection', { type: ConnectionType, nullable: true }) }),
});

const settingsOf = (given: unknown): ExchangeSettings => {
  const read = exchangeSettings.safeParse(given);
  if (read.success) return read.data;
  const [issue] = read.error.issues;
  const field = ['settings', ...(issue?.path ?? [])].join('.');
  throw new MusterError('invalid-input', issue?.message ?? '', { field });
};

/** What the secret belongs to and where it is sent, and who is believed to be there. */
const reachOf = (settings: ExchangeSettings): readonly unknown[] => [
  settings.kind,
  settings.host,
  settings.caCertificate,
  settings.certificateSha256,
  settings.allowAnyCertificate,
  ...(settings.kind === 'online'
    ? [settings.loginHost, settings.organisation, settings.clientId, settings.credential]
    : [settings.account]),
];

mutation('configureExchange', {
  description:
    'Sets an Exchange connection of the tenant. A secret that is left out stays, unless host, account or trust change; it is kept sealed and never shown.',
  permission: 'exchange.manage',
  type: Payload,
  input: (t) => ({
    name: t.string({ required: true }).validate(connectionName),
    settings: t.field({
      type: 'JSON',
      required: true,
      description: 'See the documentation: Exchange control.',
    }),
    secret: t
      .string({ description: 'Password, client secret, or private key and certificate in PEM.' })
      .validate(z.string().min(1).max(20_000).nullish()),
  }),
  run: async ({ name, settings: given, secret }, context) => {
    const { tenantId } = signedIn(context);
    const settings = settingsOf(given);
    const { secrets } = context.credentials;
    const purpose = exchangeSecretPurpose(name);
    const before = (await stateOf(context, exchangeDecider, tenantId)).connections[name];
    // Whoever may change the address must not be handed the secret by its being sent there.
    if (before && JSON.stringify(reachOf(before.settings)) !== JSON.stringify(reachOf(settings)))
      await secrets.remove(tenantId, purpose);
    const done = [
      await act(context, exchangeDecider, tenantId, { type: 'ConfigureExchange', name, settings }),
    ];
    if (secret) {
      await secrets.put(tenantId, purpose, secret);
      done.push(await act(context, exchangeDecider, tenantId, { type: 'ChangeExchangeSecret', name }));
    }
    if (settings.allowAnyCertificate) context.deps.log.warn({ tenantId, name }, anyCertificate);
    const known = (done.at(-1) as (typeof done)[number]).state.connections[name];
    return { connection: known ? { name, ...known } : null, ...(await settle(context, ...done)) };
  },
});

mutation('reconcileExchange', {
  description:
    'Has every mailbox of a connection compared now. With dryRun nothing is switched: lastOutcome says what would be.',
  permission: 'exchange.manage',
  type: Payload,
  input: (t) => ({
    name: t.string({ required: true }).validate(connectionName),
    dryRun: t.boolean({ required: true }),
  }),
  run: async ({ name, dryRun }, context) => {
    const { tenantId } = signedIn(context);
    const requestId = newUuid();
    const command = { type: 'RequestReconciliation', name, requestId, dryRun } as const;
    const done = await act(context, exchangeDecider, tenantId, command);
    const known = done.state.connections[name];
    return { connection: known ? { name, ...known } : null, ...(await settle(context, done)) };
  },
});

mutation('removeExchangeConnection', {
  description: 'Forgets a connection and its secret. What was switched at Exchange stays as it is.',
  permission: 'exchange.manage',
  type: Payload,
  input: (t) => ({ name: t.string({ required: true }).validate(connectionName) }),
  run: async ({ name }, context) => {
    const { tenantId } = signedIn(context);
    await context.credentials.secrets.remove(tenantId, exchangeSecretPurpose(name));
    const done = await act(context, exchangeDecider, tenantId, { type: 'RemoveExchangeConnection', name });
    return { connection: null, ...(await settle(context, done)) };
  },
});
