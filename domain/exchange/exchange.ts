/**
 * Facts and state of a tenant's Exchange connections: mail flows directly between devices and Exchange, and Muster
 * switches access for each mailbox and device. Secrets are never events. Decided by decide.ts; what is to be switched
 * is worked out by plan.ts; read by projections/exchange.ts.
 */
import { z } from 'zod';
import { defineEvents, type EventOf, type Fact, never } from '../decider.ts';
import { deviceId } from '../ids.ts';
import { digest } from '../proxy/proxy.ts';
import { email, line, time } from '../text.ts';

/** What a connection is called; a word, since it stands in job ids and places of secrets. */
export const connectionName = z.string().regex(/^[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?$/, 'a-z, 0-9 and -');

/** `host` or `host:port`: neither https:// before it nor /powershell behind. */
export const exchangeHost = z
  .string()
  .max(260)
  .regex(
    /^(\[[0-9a-fA-F:.]{2,45}\]|[a-zA-Z0-9](?:[a-zA-Z0-9.-]{0,251}[a-zA-Z0-9])?)(:\d{1,5})?$/,
    'host or host:port',
  );

/** The id that a partnership goes by in Exchange. */
export const partnershipId = z.string().regex(/^[\x21-\x7e]{1,120}$/, 'up to 120 printable characters');

/** By what Exchange's device access rules, and Muster's container rule, know a mail app. */
export const mailApp = z.strictObject({
  characteristic: z.enum(['DeviceType', 'UserAgent']),
  /** Exchange compares it as a whole. */
  query: line(200),
});
export type MailApp = z.infer<typeof mailApp>;

const shared = {
  /** CA of the server in PEM, when it is not a public one. */
  caCertificate: z
    .string()
    .max(20_000)
    .regex(/-----BEGIN CERTIFICATE-----/, 'a certificate in PEM')
    .nullable(),
  /** SHA-256 of the server's own certificate, hex: no other is talked to. */
  certificateSha256: digest.nullable(),
  /** Lets anybody pretend to be the server. Never do it. */
  allowAnyCertificate: z.boolean(),
  /** Only these apps may be used for mail on managed devices; null: any. */
  containerApps: z.array(mailApp).min(1).max(20).nullable(),
  /** Apps that a device access rule of the organisation bars. */
  barredApps: z.array(mailApp).max(20),
  /** Whether an unknown partnership is taken for the one enrolled device of the person whose id is not known. */
  bindUnknown: z.boolean(),
  /** Nothing is switched; every reconciliation only says what it would do. */
  dryRun: z.boolean(),
  /** How often mailboxes are compared. */
  intervalMinutes: z.int().min(15).max(1440),
};

export const exchangeSettings = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('online'),
    host: exchangeHost,
    /** Where tokens come from. */
    loginHost: exchangeHost,
    /** Id or a domain of the organisation in Entra. */
    organisation: z.string().regex(/^[a-zA-Z0-9](?:[a-zA-Z0-9.-]{0,200}[a-zA-Z0-9])?$/, 'an id or a domain'),
    /** Id of the application. */
    clientId: z.uuid(),
    /** What the kept secret is: a client secret, or certificate and private key in PEM (RFC 7523). */
    credential: z.enum(['secret', 'certificate']),
    /** Mailbox that requests which concern no mailbox are routed by. */
    anchorMailbox: email,
    ...shared,
  }),
  z.strictObject({
    kind: z.literal('on-premises'),
    host: exchangeHost,
    /** `DOMAIN\user` or a UPN; no colon, since Basic ends the name with one (RFC 7617). */
    account: line(200).refine((text) => !text.includes(':'), 'contains a colon'),
    /** Whether EWS of a mailbox is open only while a device of the person may have mail. */
    ewsFollowsMail: z.boolean(),
    ...shared,
  }),
]);
export type ExchangeSettings = z.infer<typeof exchangeSettings>;

export const accessLevel = z.enum(['Allow', 'Block', 'Quarantine']);
export type AccessLevel = z.infer<typeof accessLevel>;

/** Entries of each list in an event. */
export const mostListed = 100;
/** Devices whose failure is remembered: beyond them the counts of the reconciliation say enough. */
export const mostFailing = 200;

const count = z.int().min(0);
const reason = line(300);

/** One thing that a reconciliation did, or would do in a dry run. */
export const exchangeChange = z.strictObject({
  mailbox: email,
  partnershipId: partnershipId.nullable(),
  action: z.enum(['allow', 'block', 'forget', 'bind', 'open-ews', 'close-ews', 'bar-app']),
  reason,
});
export type ExchangeChange = z.infer<typeof exchangeChange>;

/** A partnership that belongs to no device Muster knows. */
export const strangePartnership = z.strictObject({
  mailbox: email,
  partnershipId,
  deviceType: z.string().max(200),
  /** What Exchange says of it now, such as Quarantined. */
  accessState: z.string().max(40),
  /** As Exchange writes it; null: never, or unknown. */
  lastSuccessAt: z.string().max(40).nullable(),
});
export type StrangePartnership = z.infer<typeof strangePartnership>;

export const reconciliation = z.strictObject({
  dryRun: z.boolean(),
  mailboxes: count,
  /** Differences found; in a dry run they stay. */
  drifted: count,
  failed: count,
  strange: count,
  defaultAccessLevel: accessLevel,
  /** The first hundred of each. */
  changes: z.array(exchangeChange).max(mostListed),
  strangers: z.array(strangePartnership).max(mostListed),
});
export type Reconciliation = z.infer<typeof reconciliation>;

const named = { name: connectionName };
const about = { ...named, deviceId, mailbox: email };

export const exchangeEvents = defineEvents('exchange', {
  ExchangeConfigured: z.strictObject({ ...named, settings: exchangeSettings }),
  ExchangeSecretChanged: z.strictObject(named),
  ExchangeReconciliationRequested: z.strictObject({ ...named, requestId: z.uuid(), dryRun: z.boolean() }),
  ExchangeReconciled: z.strictObject({ ...named, startedAt: time, outcome: reconciliation }),
  ExchangeReconciliationFailed: z.strictObject({ ...named, startedAt: time, code: line(60), reason }),
  MailPartnershipBound: z.strictObject({ ...about, partnershipId }),
  MailAccessGranted: z.strictObject({ ...about, partnershipId, reason }),
  MailAccessBlocked: z.strictObject({ ...about, partnershipId, reason }),
  MailAccessFailed: z.strictObject({ ...about, code: line(60), reason }),
  ExchangeConnectionRemoved: z.strictObject(named),
});
export type ExchangeEvent = EventOf<typeof exchangeEvents>;

/** How a device of a mailbox was switched last. */
export interface Switched {
  readonly mailbox: string;
  readonly partnershipId: string;
  readonly access: 'allow' | 'block';
}

/** A failure of one device that lasts. */
export interface Failing {
  readonly mailbox: string;
  readonly code: string;
  readonly reason: string;
  readonly since: string;
}

export interface ExchangeConnection {
  readonly settings: ExchangeSettings;
  readonly requestId: string | null;
  readonly last: { readonly at: string; readonly startedAt: string; readonly outcome: Reconciliation } | null;
  /** null: the last reconciliation went well. */
  readonly failure: { readonly since: string; readonly code: string; readonly reason: string } | null;
  /** Start of the last reconciliation, however it went. */
  readonly lastStartedAt: string | null;
  readonly dueAt: string;
  /** By device id: the partnership that was taken for it. */
  readonly bound: Readonly<Record<string, string>>;
  /** By device id. */
  readonly switched: Readonly<Record<string, Switched>>;
  readonly failing: Readonly<Record<string, Failing>>;
}

/** Connections by name. */
export interface ExchangeState {
  readonly connections: Readonly<Record<string, ExchangeConnection>>;
}

export const initialExchange: ExchangeState = { connections: {} };

const minuteMs = 60_000;
/** A reconciliation that failed is tried again soon, later each time it fails for as long as it has failed already. */
const afterFailure = (since: string, at: string, intervalMinutes: number): string => {
  const lastedMs = Date.parse(at) - Date.parse(since);
  const pauseMs = Math.min(Math.max(lastedMs, 5 * minuteMs), intervalMinutes * minuteMs);
  return new Date(Date.parse(at) + pauseMs).toISOString();
};

const without = <Value>(from: Readonly<Record<string, Value>>, key: string): Record<string, Value> =>
  Object.fromEntries(Object.entries(from).filter(([name]) => name !== key));

const configure = (known: ExchangeConnection | undefined, settings: ExchangeSettings, at: string) => ({
  requestId: null,
  last: null,
  failure: null,
  lastStartedAt: null,
  bound: {},
  switched: {},
  failing: {},
  ...known,
  settings,
  dueAt: at,
});

const evolveConnection = (
  known: ExchangeConnection,
  {
    type,
    data,
    at,
  }: Fact<Exclude<ExchangeEvent, { type: 'ExchangeConfigured' | 'ExchangeConnectionRemoved' }>>,
): ExchangeConnection => {
  const { intervalMinutes } = known.settings;
  switch (type) {
    case 'ExchangeSecretChanged':
      return { ...known, dueAt: at };
    case 'ExchangeReconciliationRequested':
      return { ...known, requestId: data.requestId };
    case 'ExchangeReconciled': {
      const { startedAt, outcome } = data;
      const dueAt = new Date(Date.parse(at) + intervalMinutes * minuteMs).toISOString();
      return { ...known, last: { at, startedAt, outcome }, lastStartedAt: startedAt, failure: null, dueAt };
    }
    case 'ExchangeReconciliationFailed': {
      const { code, reason: why, startedAt } = data;
      const since = known.failure?.since ?? at;
      const dueAt = afterFailure(since, at, intervalMinutes);
      return { ...known, failure: { since, code, reason: why }, lastStartedAt: startedAt, dueAt };
    }
    case 'MailPartnershipBound':
      return { ...known, bound: { ...known.bound, [data.deviceId]: data.partnershipId } };
    case 'MailAccessGranted':
    case 'MailAccessBlocked': {
      const access = type === 'MailAccessGranted' ? 'allow' : 'block';
      const { mailbox, partnershipId: id } = data;
      const switched = {
        ...known.switched,
        [data.deviceId]: { mailbox, partnershipId: id, access } as const,
      };
      return { ...known, switched, failing: without(known.failing, data.deviceId) };
    }
    case 'MailAccessFailed': {
      const { mailbox, code, reason: why } = data;
      const failing = { mailbox, code, reason: why, since: known.failing[data.deviceId]?.since ?? at };
      return { ...known, failing: { ...known.failing, [data.deviceId]: failing } };
    }
    default:
      return never(type);
  }
};

/** Folds one fact into the state. */
export const evolveExchange = (state: ExchangeState, fact: Fact<ExchangeEvent>): ExchangeState => {
  const { connections } = state;
  const { name } = fact.data;
  const known = connections[name];
  if (fact.type === 'ExchangeConnectionRemoved') return { connections: without(connections, name) };
  if (fact.type === 'ExchangeConfigured')
    return { connections: { ...connections, [name]: configure(known, fact.data.settings, fact.at) } };
  if (!known) return state;
  return { connections: { ...connections, [name]: evolveConnection(known, fact) } };
};
