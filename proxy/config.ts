/**
 * The settings of one proxy and their limits. Parsed by cli/ from flags and environment, taken by main.ts.
 */
import { z } from 'zod';
import { MusterError } from '../platform/errors.ts';
import { isLoopback } from '../platform/listening.ts';
import { easPath } from './eas.ts';

const port = z.coerce.number().int().min(0).max(65_535);
const file = z.string().min(1);
const url = z
  .string()
  .refine(
    (text) => URL.canParse(text) && /^https?:$/.test(new URL(text).protocol),
    'must be an http or https URL',
  )
  .transform((text) => new URL(text))
  .refine(
    (parsed) =>
      parsed.username === '' && parsed.password === '' && parsed.search === '' && parsed.hash === '',
    'must have no credentials, query or fragment',
  );

const isOrigin = (parsed: URL): boolean => parsed.pathname === '/';
const isBackend = (parsed: URL): boolean =>
  isOrigin(parsed) || parsed.pathname.toLowerCase().endsWith(easPath.toLowerCase());

const schema = z
  .strictObject({
    /** Address to listen on for devices. */
    listenHost: z.string().min(1).default('127.0.0.1'),
    /** 0 takes a free port. */
    listenPort: port.default(8443),
    /** PEM files; without them the proxy listens on loopback only. */
    tls: z.strictObject({ certFile: file, keyFile: file }).optional(),
    /** The address under which devices reach this proxy; redirects of the mail server are rewritten to it. */
    publicUrl: url.refine(isOrigin, 'must have no path'),
    /** The mail server: its origin, or the whole address of its ActiveSync path. */
    backendUrl: url.refine(isBackend, `must have no path but ${easPath}`),
    /** PEM of the CA that signed the mail server's certificate; default: the CAs that Node trusts. */
    backendCaFile: file.optional(),
    /** The Muster server's listener for proxies. */
    serverUrl: url.refine((parsed) => parsed.protocol === 'https:', 'must be https'),
    /** PEM of the CA that signed the Muster server's certificate. */
    serverCaFile: file.optional(),
    /** Instead of a CA: SHA-256 (hex) of the server's certificate or public key, or of its authority's. */
    serverPin: z
      .string()
      .transform((pin) => pin.replaceAll(':', '').toLowerCase())
      .pipe(z.string().regex(/^[0-9a-f]{64}$/, 'must be a SHA-256 in hex'))
      .optional(),
    /** Takes any server for the real one: only for tests; the server is told. */
    allowAnyServerCertificate: z.stringbool().or(z.boolean()).default(false),
    /** Folder of the proxy's identity, and of the verdicts for times without the server. */
    stateDir: file,
    /** Verdicts that the server has not confirmed for this long (s) allow nobody. At least one hour. */
    maxAgeSeconds: z.coerce.number().int().min(3_600).default(86_400),
    /** Address of /healthz; loopback only. */
    adminHost: z.string().refine(isLoopback, 'must be a loopback address').default('127.0.0.1'),
    /** Port of /healthz; 0 switches it off. */
    adminPort: port.default(0),
  })
  .refine((config) => config.tls !== undefined || isLoopback(config.listenHost), {
    path: ['listenHost'],
    message: 'must be a loopback address unless tls is given',
  })
  .refine(
    ({ serverCaFile, serverPin, allowAnyServerCertificate }) =>
      [serverCaFile !== undefined, serverPin !== undefined, allowAnyServerCertificate].filter(Boolean)
        .length < 2,
    {
      path: ['serverPin'],
      message: 'serverCaFile, serverPin and allowAnyServerCertificate exclude one another',
    },
  );

/** Checked settings. */
export type ProxyConfig = Readonly<z.output<typeof schema>>;

/** Checks settings; all faults are named at once. Throws `config-invalid` whose field is the first of them. */
export const parseProxyConfig = (input: unknown): ProxyConfig => {
  const result = schema.safeParse(input);
  if (result.success) return Object.freeze(result.data);
  const faults = result.error.issues.map((issue) => ({
    field: issue.path.join('.') || issueKeys(issue),
    message: issue.message,
  }));
  throw new MusterError(
    'config-invalid',
    faults.map(({ field, message }) => `${field}: ${message}`).join('; '),
    {
      field: faults[0]?.field ?? '',
    },
  );
};

/** Unknown settings are reported on their parent; name them. */
const issueKeys = (issue: z.core.$ZodIssue): string =>
  issue.code === 'unrecognized_keys' ? issue.keys.join(', ') : '';
