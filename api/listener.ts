/**
 * Where and how the server listens: certificate, loopback rule, end. Called by api/main.ts.
 */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import type { Server } from 'node:http';
import { createSecureContext } from 'node:tls';
import type { ServerConfig } from '../platform/config.ts';
import { MusterError } from '../platform/errors.ts';

/** Requests that are under way when the server stops may take this long. */
const drainMs = 10_000;

/** Whether only this machine can reach an address. */
export const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);

const readPem = (file: string, variable: string): Buffer => {
  try {
    return readFileSync(file);
  } catch (cause) {
    throw new MusterError('config-invalid', `${variable}: ${file} cannot be read`, { cause });
  }
};

/** Certificate and key; undefined when none is configured and the host is loopback, else `config-invalid`. */
export const readTls = (
  config: Pick<ServerConfig, 'host' | 'tlsCertificateFile' | 'tlsKeyFile'>,
): { cert: Buffer; key: Buffer; minVersion: 'TLSv1.2' } | undefined => {
  const { host, tlsCertificateFile, tlsKeyFile } = config;
  if (tlsCertificateFile === undefined && tlsKeyFile === undefined) {
    if (isLoopback(host)) return undefined;
    throw new MusterError(
      'config-invalid',
      `MUSTER_HOST: ${host} is not loopback; set MUSTER_TLS_CERT and MUSTER_TLS_KEY`,
    );
  }
  if (tlsCertificateFile === undefined || tlsKeyFile === undefined)
    throw new MusterError('config-invalid', 'MUSTER_TLS_CERT and MUSTER_TLS_KEY are needed together');
  const cert = readPem(tlsCertificateFile, 'MUSTER_TLS_CERT');
  const key = readPem(tlsKeyFile, 'MUSTER_TLS_KEY');
  try {
    createSecureContext({ cert, key });
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new MusterError('config-invalid', `MUSTER_TLS_CERT or MUSTER_TLS_KEY: ${reason}`, { cause });
  }
  return { cert, key, minVersion: 'TLSv1.2' };
};

/** Listens; rejects with `config-invalid` when the address is taken or not this machine's. */
export const listen = async (server: Server, { host, port }: Pick<ServerConfig, 'host' | 'port'>) => {
  server.listen(port, host);
  try {
    await once(server, 'listening');
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new MusterError('config-invalid', `MUSTER_HOST, MUSTER_PORT: ${reason}`, { cause });
  }
};

/** Takes no new request, waits for those under way, then cuts what is left. */
export const stopServer = async (server: Server): Promise<void> => {
  if (!server.listening) return;
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeIdleConnections();
  const cut = setTimeout(() => server.closeAllConnections(), drainMs);
  await closed;
  clearTimeout(cut);
};
