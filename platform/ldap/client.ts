/**
 * Talks LDAP (RFC 4511) to a tenant's directory: one connection per piece of work, over TLS, to an address that was
 * checked. Referrals are not followed. Called by directory.ts beside this file.
 */
import { connect as connectPlain, isIP, type Socket } from 'node:net';
import { type ConnectionOptions, checkServerIdentity, connect as connectTls } from 'node:tls';
import { Client, ResultCodeError } from 'ldapts';
import type { DirectorySettings } from '../../domain/directory/directory.ts';
import { MusterError } from '../errors.ts';
import { addressOf, type Endpoint, endpointOf } from './address.ts';

/** How a server of the directory is reached and trusted. */
export type ServerSettings = Pick<
  DirectorySettings,
  'urls' | 'startTls' | 'unsafeWithoutTls' | 'caCertificate' | 'certificateSha256'
>;

const connectTimeoutMs = 5000;
const operationTimeoutMs = 10_000;

/** What a failed operation means to the caller: the server refused it, or is away. */
export const directoryFault = (cause: unknown, doing: string): MusterError => {
  if (cause instanceof MusterError) return cause;
  const why = cause instanceof Error ? cause.message : String(cause);
  const text = `${doing}: ${why}`.replace(/\p{Cc}+/gu, ' ').slice(0, 280);
  return cause instanceof ResultCodeError
    ? new MusterError('directory-refused', text, { cause })
    : new MusterError('directory-unavailable', text, { cause });
};

const tlsOf = ({ host }: Endpoint, settings: ServerSettings): ConnectionOptions => ({
  ...(isIP(host) === 0 ? { servername: host } : {}),
  ...(settings.caCertificate === null ? {} : { ca: settings.caCertificate }),
  minVersion: 'TLSv1.2',
  checkServerIdentity: (_name, certificate) => {
    const fault = checkServerIdentity(host, certificate);
    if (fault) return fault;
    const digest = certificate.fingerprint256.replaceAll(':', '').toLowerCase();
    return settings.certificateSha256 === null || digest === settings.certificateSha256
      ? undefined
      : new Error('the certificate is not the pinned one');
  },
});

/** A connection that is made once: a client that lost it must not quietly come back without TLS or bind. */
const once = <Made extends Socket>(connect: () => Made) => {
  let made = false;
  return (() => {
    if (made) throw new MusterError('directory-unavailable', 'the connection was lost');
    made = true;
    return connect();
  }) as never;
};

const open = async (url: string, settings: ServerSettings, allowLoopback: boolean): Promise<Client> => {
  const endpoint = endpointOf(url);
  const { secure, port } = endpoint;
  if (!secure && !settings.startTls && !settings.unsafeWithoutTls)
    throw new MusterError('directory-refused', `${url} would carry passwords in the clear`);
  const host = await addressOf(endpoint, allowLoopback);
  const tls = tlsOf(endpoint, settings);
  const client = new Client({
    url: `${secure ? 'ldaps' : 'ldap'}://directory.invalid:${port}`,
    timeout: operationTimeoutMs,
    connectTimeout: connectTimeoutMs,
    strictDN: true,
    createConnection: once(() => connectPlain({ host, port })),
    createSecureConnection: ((...args: unknown[]) =>
      // StartTLS hands over options with the open socket; ldaps dials.
      args.length === 1
        ? connectTls(args[0] as ConnectionOptions)
        : connectTls({ ...tls, host, port })) as never,
  });
  try {
    if (!secure && settings.startTls) await client.startTLS(tls);
    return client;
  } catch (cause) {
    await client.unbind().catch(() => {});
    throw directoryFault(cause, 'TLS');
  }
};

/** Binds; false when the server says that name or password is wrong, or that they may not be used now. */
export const bind = async (client: Client, dn: string, password: string): Promise<boolean> => {
  // An empty password makes a bind anonymous, and so successful for every name (RFC 4513 section 5.1.2).
  if (password === '' || dn === '') return false;
  try {
    await client.bind(dn, password);
    return true;
  } catch (cause) {
    if (cause instanceof ResultCodeError) return false;
    throw directoryFault(cause, 'bind');
  }
};

/** Connects to the first server that answers, hands the connection over and ends it. */
export const withServer = async <T>(
  settings: ServerSettings,
  allowLoopback: boolean,
  prepare: (client: Client) => Promise<void>,
  work: (client: Client) => Promise<T>,
): Promise<T> => {
  let fault: unknown;
  for (const url of settings.urls) {
    let client: Client | undefined;
    try {
      client = await open(url, settings, allowLoopback);
      await prepare(client);
    } catch (error) {
      await client?.unbind().catch(() => {});
      fault = directoryFault(error, 'connecting');
      if (!(fault as MusterError).retryable) throw fault;
      continue;
    }
    try {
      return await work(client);
    } catch (error) {
      throw directoryFault(error, 'searching');
    } finally {
      await client.unbind().catch(() => {});
    }
  }
  throw fault;
};
