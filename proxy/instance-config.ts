/**
 * The settings of one instance: a listener, the mail server behind it and what it lets through. Called by config.ts.
 * Every setting has its meaning in its description: docs/reference/proxy.md is made of them.
 */
import { z } from 'zod';
import { isLoopback } from '../platform/listening.ts';
import { easPath } from './eas.ts';

export const port = z.coerce.number().int().min(0).max(65_535);
export const file = z.string().min(1);

export const url = z
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

/** SHA-256 of a certificate or its public key (DER), with or without the colons of OpenSSL; kept as 64 lower-case digits. */
export const pin = z
  .string()
  .transform((text) => text.replaceAll(':', '').toLowerCase())
  .refine((text) => /^[0-9a-f]{64}$/.test(text), 'must be the SHA-256 fingerprint of a certificate, in hex');

const isOrigin = (parsed: URL): boolean => parsed.pathname === '/';
const isBackend = (parsed: URL): boolean =>
  isOrigin(parsed) || parsed.pathname.toLowerCase().endsWith(easPath.toLowerCase());

/** At most one way to trust a certificate: two would leave open which of them counts. */
export const oneTrust = (given: readonly unknown[]): boolean =>
  given.filter((way) => way !== undefined && way !== false).length <= 1;

const selfSigned = z.strictObject({
  selfSigned: z.strictObject({
    hostName: z
      .string()
      .regex(/^[A-Za-z0-9.:-]{1,253}$/, 'must be a host name or an address')
      .describe('Host name or address that the certificate is made out to. The proxy makes and renews it.'),
  }),
});
const pkcs12 = z.strictObject({
  pkcs12File: file.describe('PKCS#12 file (.p12, .pfx) with certificate, key and chain.'),
  passwordFile: file.optional().describe('File whose first line is its password.'),
});
const separate = z.strictObject({
  certFile: file.describe('PEM file of the certificate, or of the whole chain.'),
  keyFile: file.describe('PEM file of its private key.'),
  chainFile: file.optional().describe('PEM file of the intermediate certificates.'),
});

/** Told apart by their own keys, so that a fault names the missing setting and not "no option matches". */
const tls = z.unknown().transform((given, context) => {
  const keys = new Set(typeof given === 'object' && given !== null ? Object.keys(given) : []);
  const schema = keys.has('selfSigned') ? selfSigned : keys.has('pkcs12File') ? pkcs12 : separate;
  const result = schema.safeParse(given);
  if (result.success) return result.data;
  for (const issue of result.error.issues) context.issues.push({ ...issue, input: given } as never);
  return z.NEVER;
});

/** The kinds of certificate, by what they are called in the reference. */
export const tlsKinds = { selfSigned, pkcs12, separate } as const;

/** What net.BlockList takes. */
const cidr = z.union([z.ipv4(), z.ipv6(), z.cidrv4(), z.cidrv6()], 'is no address or CIDR range');

export const instanceShape = {
  name: z
    .string()
    .regex(/^[a-z0-9][a-z0-9-]{0,62}$/, 'must be lower-case letters, digits and hyphens')
    .describe('Name in logs, health and on disk; unique in this file.'),
  kind: z.enum(['exchange']).default('exchange').describe('What is behind it.'),
  listenHost: z
    .string()
    .min(1)
    .default('127.0.0.1')
    .describe('Address for devices. Without `tls` it must be loopback.'),
  listenPort: port.default(8443).describe('Port for devices; 0 takes a free one.'),
  publicUrl: url
    .refine(isOrigin, 'must have no path')
    .describe('Address under which devices reach this instance; redirects of the mail server become it.'),
  tls: tls.optional().describe('The certificate that devices see, one of three kinds. TLS 1.2 and later.'),
  backend: z
    .strictObject({
      url: url
        .refine(isBackend, `must have no path but ${easPath}`)
        .describe('The mail server: its origin, or the whole address of its ActiveSync path.'),
      caFile: file
        .optional()
        .describe('PEM file of the CA that signed its certificate, when not a public one.'),
      pin: pin
        .optional()
        .describe(
          'Instead of a CA: SHA-256 fingerprint of its certificate or public key, or of its authority’s.',
        ),
      allowAnyCertificate: z
        .boolean()
        .default(false)
        .describe('Trusts whoever answers. Mail passwords go there: only for tests. Warns at every start.'),
    })
    .refine(
      ({ caFile, pin: pinned, allowAnyCertificate }) => oneTrust([caFile, pinned, allowAnyCertificate]),
      {
        message: 'at most one of caFile, pin and allowAnyCertificate',
      },
    )
    .describe('The mail server.'),
  clientCertificates: z
    .strictObject({
      caFile: file.describe('PEM file of the CA that must have signed the certificate of a device.'),
      crlFile: file
        .optional()
        .describe(
          'PEM file of its revocation list, and of those of CAs between. An expired list refuses everybody.',
        ),
      bindDevice: z
        .boolean()
        .default(false)
        .describe('Whether the certificate must also name the device or the user of the request.'),
    })
    .optional()
    .describe('Devices must show a certificate. Needs `tls`.'),
  ews: z
    .strictObject({
      enabled: z.boolean().default(false).describe('Whether subscriptions of Exchange Web Services pass.'),
      pushHosts: z
        .array(z.string().min(1))
        .max(100)
        .default([])
        .describe('Hosts (`name` or `name:port`) that Exchange may push to.'),
    })
    .default({ enabled: false, pushHosts: [] })
    .describe('Exchange Web Services; all else of them is refused.'),
  traveler: z
    .boolean()
    .default(false)
    .describe(
      'Whether the paths of HCL Traveler clients pass. Requests that name no device cannot be verified.',
    ),
  mailClients: z
    .union([z.literal('all'), z.array(z.string().min(1).max(200)).min(1).max(100)])
    .default('all')
    .describe(
      'Mail apps that are let through: `all`, or patterns of their User-Agent, `*` for any characters.',
    ),
  containerOnly: z
    .boolean()
    .default(false)
    .describe("Whether only the container's own mail app passes. Needs `containerUserAgents`."),
  containerUserAgents: z
    .array(z.string().min(1).max(200))
    .max(100)
    .default([])
    .describe("Patterns of the User-Agents of the container's mail app, `*` for any characters."),
  blockAnswer: z
    .enum(['http-403', 'wbxml-129'])
    .default('http-403')
    .describe(
      'How a block is told to the mail app: HTTP 403, or status 129 in the body where the app speaks ActiveSync 14.0 or later.',
    ),
  trustedProxies: z
    .array(cidr)
    .max(100)
    .default([])
    .describe('Balancers in front, as addresses or CIDR ranges: what they say of the client is believed.'),
  proxyProtocol: z
    .boolean()
    .default(false)
    .describe('Whether every connection starts with a PROXY header (v1 or v2). Needs `trustedProxies`.'),
};

export const instanceSchema = z
  .strictObject(instanceShape)
  .refine((instance) => instance.tls !== undefined || isLoopback(instance.listenHost), {
    path: ['listenHost'],
    message: 'must be a loopback address unless tls is given',
  })
  .refine((instance) => instance.clientCertificates === undefined || instance.tls !== undefined, {
    path: ['clientCertificates'],
    message: 'needs tls',
  })
  .refine((instance) => !instance.containerOnly || instance.containerUserAgents.length > 0, {
    path: ['containerOnly'],
    message: 'needs containerUserAgents',
  })
  .refine((instance) => !instance.ews.enabled || instance.ews.pushHosts.length > 0, {
    path: ['ews', 'enabled'],
    message: 'needs pushHosts',
  })
  .refine((instance) => !instance.proxyProtocol || instance.trustedProxies.length > 0, {
    path: ['proxyProtocol'],
    message: 'needs trustedProxies',
  });

/** Checked settings of one instance. */
export type InstanceConfig = Readonly<z.output<typeof instanceSchema>>;
