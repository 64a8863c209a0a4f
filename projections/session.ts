/**
 * A database connection of one's own, for what belongs to a session: LISTEN and advisory locks. Its loss is told,
 * which a pool cannot do. Called by await.ts and lead.ts.
 */
import { Client } from 'pg';
import { databaseOptions } from '../platform/sql.ts';

/** A connected session; `lost` aborts when the connection ends, by whichever side. */
export interface Session {
  readonly client: Client;
  readonly lost: AbortSignal;
  close(): Promise<void>;
}

/** Connects, or rejects with the driver's error. */
export const openSession = async (databaseUrl: string, applicationName: string): Promise<Session> => {
  const { ssl, ...options } = databaseOptions(databaseUrl);
  const client = new Client({
    ...options,
    ...(ssl ? { ssl: { rejectUnauthorized: ssl === 'verify-full' } } : {}),
    application_name: applicationName,
    keepAlive: true,
    connectionTimeoutMillis: 10_000,
  });
  const ended = new AbortController();
  client.on('error', () => ended.abort());
  client.on('end', () => ended.abort());
  await client.connect();
  return {
    client,
    lost: ended.signal,
    async close() {
      ended.abort();
      await client.end().catch(() => {});
    },
  };
};
