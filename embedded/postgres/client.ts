/**
 * Single connections through node-postgres, which never reconnects by itself: what locks and writers need.
 * Called by embedded/postgres.ts and the event store's writer.
 */
import pg from 'pg';
import { databaseOptions } from '../../platform/sql.ts';

/** A client for `url`, not yet connected. */
export const clientFor = (url: string, applicationName: string): pg.Client => {
  const { ssl, ...options } = databaseOptions(url);
  return new pg.Client({
    ...options,
    application_name: applicationName,
    ...(ssl === undefined ? {} : { ssl: { rejectUnauthorized: ssl === 'verify-full' } }),
  });
};
