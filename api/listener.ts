/**
 * Where and how the server listens: certificate, loopback rule, end. Called by api/main.ts.
 */
import { once } from 'node:events';
import type { Server } from 'node:http';
import type { ServerConfig } from '../platform/config.ts';
import { MusterError } from '../platform/errors.ts';
import { isLoopback, readCertificateFiles } from '../platform/listening.ts';

/** Requests that are under way when the server stops may take this long. */
const drainMs = 10_000;

/** Certificate and key; undefined when none is configured and the host is loopback, else `config-invalid`. */
export const readTls = (
  config: Pick<ServerConfig, 'host' | 'tlsCertificateFile' | 'tlsKeyFile'>,
): { cert: Buffer; key: Buffer; minVersion: 'TLSv1.2' } | undefined => {
  const { host, tlsCertificateFile, tlsKeyFile } = config;
  const pair = readCertificateFiles({
    certificate: { file: tlsCertificateFile, variable: 'MUSTER_TLS_CERT' },
    key: { file: tlsKeyFile, variable: 'MUSTER_TLS_KEY' },
  });
  if (pair) return { ...pair, minVersion: 'TLSv1.2' };
  if (isLoopback(host)) return undefined;
  throw new MusterError(
    'config-invalid',
    `MUSTER_HOST: ${host} is not loopback; set MUSTER_TLS_CERT and MUSTER_TLS_KEY`,
  );
};

/** Listens; rejects with `config-invalid` when the address is taken or not this machine's. */
export const listen = async (
  server: Server,
  { host, port }: Pick<ServerConfig, 'host' | 'port'>,
  variables = 'MUSTER_HOST, MUSTER_PORT',
): Promise<void> => {
  server.listen(port, host);
  try {
    await once(server, 'listening');
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new MusterError('config-invalid', `${variables}: ${reason}`, { cause });
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
