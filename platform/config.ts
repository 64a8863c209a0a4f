/**
 * Every setting of Muster, in two tables: the server's and the EAS proxy's. The only file that reads the
 * environment. Called by cli/; the parsed, frozen values are passed on as arguments.
 */
import { z } from 'zod';
import { MusterError } from './errors.ts';

/** One setting: its environment variable, unit, default and what it does. `secret` values are never printed. */
interface Setting<Schema extends z.ZodType = z.ZodType> {
  readonly env: string;
  readonly schema: Schema;
  readonly unit?: string;
  readonly default?: string;
  readonly secret?: boolean;
  readonly description: string;
}

type Table = Readonly<Record<string, Setting>>;

/** The values of a table: a setting without default is optional. */
export type Values<T extends Table> = {
  readonly [Key in keyof T]: T[Key] extends { readonly default: string }
    ? z.infer<T[Key]['schema']>
    : z.infer<T[Key]['schema']> | undefined;
};

const count = (minimum: number, maximum: number) => z.coerce.number().int().min(minimum).max(maximum);
const port = count(0, 65_535);
const file = z.string().min(1);
/** Words separated by commas. */
const names = z
  .string()
  .transform((text) => text.split(',').map((id) => id.trim()))
  .transform((list) => list.filter((id) => id !== ''))
  .pipe(z.array(z.string().max(255)).max(200));
const httpUrl = z.url({ protocol: /^https?$/ });
const smtpUrl = z.url({ protocol: /^smtps?$/ });
const cidrList = z
  .string()
  .transform((text) => text.split(',').map((range) => range.trim()))
  .pipe(
    z.array(z.union([z.ipv4(), z.ipv6(), z.cidrv4(), z.cidrv6()], 'is no list of addresses or CIDR ranges')),
  );
const databaseUrl = z.url({ protocol: /^postgres(ql)?$/ });

/** Settings of the server (`muster serve`) and of every command that talks to its parts. */
export const serverSettings = {
  dataDir: {
    env: 'MUSTER_DATA_DIR',
    schema: file,
    default: './data',
    unit: 'folder',
    description: 'Where the embedded PostgreSQL and local state live.',
  },
  databaseUrl: {
    env: 'DATABASE_URL',
    schema: databaseUrl,
    secret: true,
    description: 'Your PostgreSQL. Unset: an embedded PostgreSQL is started in the data folder.',
  },
  eventStoreUrl: {
    env: 'EVENTSTORE_URL',
    schema: z.string().regex(/^(esdb|kurrentdb)(\+discover)?:\/\//),
    secret: true,
    description: 'Your EventStoreDB. Unset: the embedded event store is started over PostgreSQL.',
  },
  eventStorePort: {
    env: 'MUSTER_EVENTSTORE_PORT',
    schema: port,
    default: '0',
    unit: 'TCP port',
    description: 'Loopback port of the embedded event store; 0 takes a free one.',
  },
  diskReserveMib: {
    env: 'MUSTER_DISK_RESERVE',
    schema: count(16, 1_048_576),
    default: '256',
    unit: 'MiB',
    description:
      'Free space under the data folder below which the embedded event store refuses writes and keeps reads.',
  },
  redisUrl: {
    env: 'REDIS_URL',
    schema: z.url({ protocol: /^rediss?$/ }),
    secret: true,
    description: 'Your Redis for the job queues. Unset: the queues live in PostgreSQL.',
  },
  secretKey: {
    env: 'MUSTER_SECRET_KEY',
    schema: z.base64().refine((key) => Buffer.from(key, 'base64').length === 32, 'must be 32 bytes'),
    secret: true,
    unit: 'base64',
    description:
      'Key that seals secrets which are read back, such as bind passwords. Unset: secret.key in the data folder, made at first use.',
  },
  directoryAllowLoopback: {
    env: 'MUSTER_DIRECTORY_ALLOW_LOOPBACK',
    schema: z.enum(['true', 'false']).transform((given) => given === 'true'),
    default: 'false',
    description:
      'Whether the directories of tenants may be at loopback, link-local and metadata addresses. Only for tests.',
  },
  exchangeAllowLoopback: {
    env: 'MUSTER_EXCHANGE_ALLOW_LOOPBACK',
    schema: z.enum(['true', 'false']).transform((given) => given === 'true'),
    default: 'false',
    description:
      'Whether the Exchange servers of tenants may be at loopback, link-local and metadata addresses. Only for tests.',
  },
  identityProviderNetworks: {
    env: 'MUSTER_IDENTITY_PROVIDER_NETWORKS',
    schema: cidrList,
    unit: 'addresses and CIDR ranges',
    description:
      'Where, besides public addresses, the identity providers of tenants may be: such as 10.1.2.3 for one of your own network.',
  },
  host: {
    env: 'MUSTER_HOST',
    schema: z.string().min(1),
    default: '127.0.0.1',
    description: 'Address to listen on. Anything but loopback needs a certificate.',
  },
  port: {
    env: 'MUSTER_PORT',
    schema: port,
    default: '8420',
    unit: 'TCP port',
    description: 'Port of the API; 0 takes a free one.',
  },
  tlsCertificateFile: {
    env: 'MUSTER_TLS_CERT',
    schema: file,
    unit: 'PEM file',
    description: 'Certificate chain of the API.',
  },
  tlsKeyFile: {
    env: 'MUSTER_TLS_KEY',
    schema: file,
    unit: 'PEM file',
    description: 'Private key of the certificate.',
  },
  proxyFeedPort: {
    env: 'MUSTER_PROXY_FEED_PORT',
    schema: port,
    unit: 'TCP port',
    description:
      'Port of the listener that EAS proxies follow over mutually authenticated TLS; 0 takes a free one. Unset: no proxy can follow.',
  },
  proxyFeedHost: {
    env: 'MUSTER_PROXY_FEED_HOST',
    schema: z.string().min(1),
    default: '127.0.0.1',
    description: 'Address of that listener.',
  },
  proxyFeedNames: {
    env: 'MUSTER_PROXY_FEED_NAMES',
    schema: names,
    default: '',
    unit: 'host names and addresses, by commas',
    description:
      'Names under which proxies reach it: its certificate is made out to them, to this machine’s name and to loopback.',
  },
  proxyFeedTlsCertificateFile: {
    env: 'MUSTER_PROXY_FEED_TLS_CERT',
    schema: file,
    unit: 'PEM file',
    description: 'Certificate chain of your own for it. Unset: an authority in the data folder signs one.',
  },
  proxyFeedTlsKeyFile: {
    env: 'MUSTER_PROXY_FEED_TLS_KEY',
    schema: file,
    unit: 'PEM file',
    description: 'Private key of that certificate.',
  },
  internalProxyConfigFile: {
    env: 'MUSTER_INTERNAL_PROXY_CONFIG',
    schema: file,
    unit: 'YAML or JSON file',
    description:
      'Settings of an EAS proxy that runs inside the server, for up to 500 devices. Unset: proxies run elsewhere.',
  },
  logLevel: {
    env: 'MUSTER_LOG_LEVEL',
    schema: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'silent']),
    default: 'info',
    description: 'Least severe level that is logged.',
  },
  syncIntervalSeconds: {
    env: 'MUSTER_SYNC_INTERVAL',
    schema: count(10, 86_400),
    default: '900',
    unit: 'seconds',
    description: 'Time after which devices are told to sync again.',
  },
  busySyncIntervalSeconds: {
    env: 'MUSTER_BUSY_SYNC_INTERVAL',
    schema: count(1, 86_400),
    default: '30',
    unit: 'seconds',
    description: 'The same while a device has tasks or policies to carry out.',
  },
  mutationWaitMs: {
    env: 'MUSTER_MUTATION_WAIT',
    schema: count(0, 60_000),
    default: '5000',
    unit: 'ms',
    description: 'How long a mutation waits until its own effect can be read; then it answers as pending.',
  },
  reviewIntervalSeconds: {
    env: 'MUSTER_REVIEW_INTERVAL',
    schema: count(1, 3600),
    default: '15',
    unit: 'seconds',
    description: 'How often devices are reviewed whose verdict or task falls due by time alone.',
  },
  sessionIdleMinutes: {
    env: 'MUSTER_SESSION_IDLE',
    schema: count(1, 10_080),
    default: '60',
    unit: 'minutes',
    description: 'A session that is not used for this long ends, unless the tenant chose otherwise.',
  },
  publicUrl: {
    env: 'MUSTER_PUBLIC_URL',
    schema: httpUrl,
    description:
      'Address of the server as people reach it: links in mails lead there. Unset: where it listens.',
  },
  graphqlDocuments: {
    env: 'MUSTER_GRAPHQL_DOCUMENTS',
    schema: z.enum(['any', 'own']),
    default: 'any',
    description:
      'What sessions kept as a cookie may run: any document, or the own ones of this server alone. Tokens run any.',
  },
  trustedProxies: {
    env: 'MUSTER_TRUSTED_PROXIES',
    schema: cidrList,
    unit: 'addresses or CIDR ranges, by commas',
    description:
      'Balancers in front of the server whose X-Forwarded-For is believed. Unset: callers are who connects.',
  },
  smtpUrl: {
    env: 'MUSTER_SMTP_URL',
    schema: smtpUrl,
    secret: true,
    description:
      'Mail server for invitations and password resets, such as smtps://user:password@mail.example.org. Unset: links are shown to the administrator who makes them.',
  },
  mailFrom: {
    env: 'MUSTER_MAIL_FROM',
    schema: z.email(),
    default: 'muster@localhost.localdomain',
    description: 'Sender of these mails.',
  },
  breachedPasswordsDir: {
    env: 'MUSTER_BREACHED_PASSWORDS',
    schema: file,
    unit: 'folder',
    description:
      'Breached passwords as range files: one file per first five hex digits of the SHA-1, with lines SUFFIX:COUNT. Unset: not checked.',
  },
  recaptchaEndpoint: {
    env: 'MUSTER_RECAPTCHA_ENDPOINT',
    schema: httpUrl,
    default: 'https://www.google.com/recaptcha/api/siteverify',
    description: 'Where answers to reCAPTCHA are verified.',
  },
  deletionGraceDays: {
    env: 'MUSTER_DELETION_GRACE',
    schema: count(0, 365),
    default: '30',
    unit: 'days',
    description: 'How long the deletion of a tenant can be taken back; then everything of it is erased.',
  },
  cachedAggregates: {
    env: 'MUSTER_CACHED_AGGREGATES',
    schema: count(100, 10_000_000),
    default: '20000',
    description:
      'Folded aggregates kept in memory by each process: devices and what else changes often. Of tenants, policies, accounts and the like, up to 50,000 more are kept.',
  },
  workerConcurrency: {
    env: 'MUSTER_WORKER_CONCURRENCY',
    schema: count(1, 1000),
    default: '20',
    description: 'Jobs of one queue that a process works on at once.',
  },
  licencePublicKeyFile: {
    env: 'MUSTER_LICENCE_PUBLIC_KEY',
    schema: file,
    unit: 'PEM file',
    description: 'Public keys (Ed25519) of issuers of licence keys to trust besides the built-in ones.',
  },
  containerApps: {
    env: 'MUSTER_CONTAINER_APPS',
    schema: names,
    default: '',
    unit: 'app ids, comma-separated',
    description:
      'Bundle ids and package names of the container apps, which only the Advanced edition manages.',
  },
  fcmServiceAccountFile: {
    env: 'MUSTER_FCM_SERVICE_ACCOUNT',
    schema: file,
    unit: 'JSON file',
    description:
      'Google service account with which Android devices are woken. Unset: they sync by interval alone.',
  },
  fcmEndpoint: {
    env: 'MUSTER_FCM_ENDPOINT',
    schema: httpUrl,
    default: 'https://fcm.googleapis.com',
    description: 'Base address of FCM HTTP v1.',
  },
} as const satisfies Table;

/** Settings of the event store alone (`muster eventstore`), beside those of the server that concern it. */
export const eventStoreSettings = {
  host: {
    env: 'MUSTER_EVENTSTORE_HOST',
    schema: z.string().min(1),
    default: '127.0.0.1',
    description: 'Address to listen on. Anything but loopback needs TLS.',
  },
  advertisedHost: {
    env: 'MUSTER_EVENTSTORE_ADVERTISE_HOST',
    schema: z.string().min(1),
    description:
      'Address under which clients reach the store; certificate and gossip name it. Unset: the address listened on, or the name of the machine.',
  },
  tls: {
    env: 'MUSTER_EVENTSTORE_TLS',
    schema: z.stringbool(),
    default: 'false',
    description:
      'Whether to serve over TLS, to users with passwords. A certificate is made when none is given.',
  },
  tlsCertificateFile: {
    env: 'MUSTER_EVENTSTORE_TLS_CERT',
    schema: file,
    unit: 'PEM file',
    description: 'Certificate chain of your own to serve with; implies TLS.',
  },
  tlsKeyFile: {
    env: 'MUSTER_EVENTSTORE_TLS_KEY',
    schema: file,
    unit: 'PEM file',
    description: 'Private key of the certificate.',
  },
} as const satisfies Table;

/** Settings of the EAS proxy (`muster proxy`). */
export const proxySettings = {
  configFile: {
    env: 'MUSTER_PROXY_CONFIG',
    schema: file,
    default: './proxy.yaml',
    unit: 'YAML or JSON file',
    description: 'Settings of the proxy and its instances: see [proxy.md](proxy.md).',
  },
} as const satisfies Table;

/** Configuration of the server. */
export type ServerConfig = Values<typeof serverSettings>;

/**
 * Reads a table from the environment, `overrides` (command-line options, by key) first. Every fault is reported
 * together in one `config-invalid`; the values are frozen.
 */
export const readConfig = <T extends Table>(
  table: T,
  overrides: { readonly [Key in keyof T]?: string | undefined } = {},
  environment: Readonly<Record<string, string | undefined>> = process.env,
): Values<T> => {
  const faults: string[] = [];
  const values: Record<string, unknown> = {};
  for (const [key, setting] of Object.entries(table)) {
    const given =
      (overrides as Readonly<Record<string, string | undefined>>)[key] ??
      (environment[setting.env] || undefined) ??
      setting.default;
    if (given === undefined) continue;
    const parsed = setting.schema.safeParse(given);
    if (parsed.success) values[key] = parsed.data;
    else {
      const shown = setting.secret ? '' : ` (is "${given}")`;
      faults.push(`${setting.env}: ${parsed.error.issues.map((issue) => issue.message).join(', ')}${shown}`);
    }
  }
  if (faults.length > 0) throw new MusterError('config-invalid', faults.join('\n'));
  return Object.freeze(values) as Values<T>;
};

/** One row per setting, for the generated reference in docs. */
export const describeSettings = (
  table: Table,
): { env: string; unit: string; default: string; description: string }[] =>
  Object.values(table).map(({ env, unit = '', default: preset = '', description }) => ({
    env,
    unit,
    default: preset,
    description,
  }));

/** The environment of a child process: this process's own, with `settings` (by variable) added. */
export const environmentWith = (settings: Readonly<Record<string, string>>): NodeJS.ProcessEnv => ({
  ...process.env,
  ...settings,
});
