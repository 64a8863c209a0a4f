/**
 * The settings of a proxy and their limits: what all its instances share, and the list of them. Parsed from a file by
 * cli/, taken by main.ts.
 */
import { z } from 'zod';
import { MusterError } from '../platform/errors.ts';
import { isLoopback } from '../platform/listening.ts';
import { accessLogSettings } from './access-log.ts';
import { file, type InstanceConfig, instanceSchema, oneTrust, pin, port, url } from './instance-config.ts';

export type { InstanceConfig } from './instance-config.ts';

const namedTwice = (instances: readonly InstanceConfig[]): number =>
  instances.findIndex(({ name }, at) => instances.findIndex((other) => other.name === name) < at);

/** Two listeners of one address; a free port (0) is never the same twice. */
const listeningTwice = (instances: readonly InstanceConfig[]): number =>
  instances.findIndex(
    ({ listenHost, listenPort }, at) =>
      listenPort !== 0 &&
      instances.findIndex((other) => other.listenHost === listenHost && other.listenPort === listenPort) < at,
  );

const unique = (instances: readonly InstanceConfig[], context: z.RefinementCtx): void => {
  const name = namedTwice(instances);
  if (name >= 0) context.addIssue({ code: 'custom', path: [name, 'name'], message: 'is used twice' });
  const port = listeningTwice(instances);
  if (port >= 0) context.addIssue({ code: 'custom', path: [port, 'listenPort'], message: 'is used twice' });
};

export const proxyShape = {
  serverUrl: url
    .refine((parsed) => parsed.protocol === 'https:', 'must be https')
    .describe('The Muster server’s listener for proxies, as GraphQL shows it (`proxyFeed.url`).'),
  serverCaFile: file
    .optional()
    .describe(
      'PEM file of the CA that signed its certificate, when not a public one (`proxyFeed.authorityPem`).',
    ),
  serverPin: pin
    .optional()
    .describe(
      'Instead of a CA: SHA-256 fingerprint of its certificate or public key, or of its authority’s (`proxyFeed.pin`).',
    ),
  allowAnyServerCertificate: z
    .boolean()
    .default(false)
    .describe(
      'Trusts whoever answers as the server: only for tests. Warns at every start and is shown in Muster.',
    ),
  stateDir: file
    .default('./data/proxy')
    .describe(
      'Folder where identities, verdicts and keys are kept, a folder for each instance. Only its owner may read it.',
    ),
  adminHost: z
    .string()
    .refine(isLoopback, 'must be a loopback address')
    .default('127.0.0.1')
    .describe('Address of `/healthz`, `/readyz`, `/metrics`, `/explain` and `/drain`; loopback only.'),
  adminPort: port.default(0).describe('Port of the same; 0 switches them off.'),
  maxAgeSeconds: z.coerce
    .number()
    .int()
    .min(3_600)
    .default(86_400)
    .describe(
      'Verdicts that the server has not confirmed for this long (s) are stale: then the tenant’s rule decides, which denies unless it chose otherwise. At least one hour.',
    ),
  drainDelaySeconds: z.coerce
    .number()
    .int()
    .min(0)
    .max(600)
    .default(0)
    .describe(
      'Time (s) for which a proxy that is told to stop serves on while `/readyz` says `draining`, so that balancers notice.',
    ),
  drainSeconds: z.coerce
    .number()
    .int()
    .min(0)
    .max(3_600)
    .default(5)
    .describe(
      'Time (s) that requests in flight are given after that to finish; long polls are ended at once.',
    ),
  log: accessLogSettings
    .extend({
      level: z
        .enum(['trace', 'debug', 'info', 'warn', 'error', 'silent'])
        .default('info')
        .describe('Least severe level of the process’s own log on standard error.'),
    })
    .prefault({})
    .describe('What is logged, and where to.'),
  instances: z
    .array(instanceSchema)
    .min(1)
    .max(100)
    .superRefine(unique)
    .describe('The instances, each with a port, a mail server and a tenant of its own.'),
};

const schema = z
  .strictObject(proxyShape)
  .refine((config) => oneTrust([config.serverCaFile, config.serverPin, config.allowAnyServerCertificate]), {
    path: ['serverPin'],
    message: 'at most one of serverCaFile, serverPin and allowAnyServerCertificate',
  });

/** Checked settings. */
export type ProxyConfig = Readonly<z.output<typeof schema>>;

/** `instances[0].tls.certFile`: how a setting is named in faults. */
const fieldOf = (path: readonly PropertyKey[]): string =>
  path
    .map((key, at) => (typeof key === 'number' ? `[${key}]` : `${at > 0 ? '.' : ''}${String(key)}`))
    .join('');

/** Unknown settings are reported on their parent; name each of them. */
const fieldsOf = (issue: z.core.$ZodIssue): string[] =>
  issue.code === 'unrecognized_keys'
    ? issue.keys.map((key) => fieldOf([...issue.path, key]))
    : [fieldOf(issue.path)];

/** Checks settings; all faults are named at once. Throws `config-invalid` whose field is the first of them. */
export const parseProxyConfig = (input: unknown): ProxyConfig => {
  const result = schema.safeParse(input);
  if (result.success) return Object.freeze(result.data);
  const faults = result.error.issues.flatMap((issue) =>
    fieldsOf(issue).map((field) => ({
      field,
      message: issue.code === 'unrecognized_keys' ? 'is no setting' : issue.message,
    })),
  );
  throw new MusterError(
    'config-invalid',
    faults.map(({ field, message }) => `${field}: ${message}`).join('\n'),
    { field: faults[0]?.field ?? '' },
  );
};
