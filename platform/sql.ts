/**
 * PostgreSQL through postgres.js: pools, libpq-style URLs with socket folders, and tenant-bound transactions.
 * Pools are constructed in each main.ts and passed as arguments.
 */
import postgres from 'postgres';
import type { TenantId } from '../domain/ids.ts';

/** A postgres.js pool, or a transaction of one. */
export type Sql = postgres.Sql<{ bigint: bigint }>;
export type Transaction = postgres.TransactionSql<{ bigint: bigint }>;

/** Connection options that postgres.js and pg both understand. `host` may be the folder of a unix socket. */
export interface DatabaseOptions {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password?: string;
  readonly database: string;
  readonly ssl?: 'require' | 'verify-full';
}

/** Parses `postgres://user:password@host:port/database?host=/socket/folder&sslmode=require` (libpq's URI form). */
export const databaseOptions = (url: string): DatabaseOptions => {
  const parsed = new URL(url);
  const password = decodeURIComponent(parsed.password);
  const sslMode = parsed.searchParams.get('sslmode');
  return {
    host: parsed.searchParams.get('host') ?? parsed.hostname,
    port: Number(parsed.searchParams.get('port') ?? (parsed.port || 5432)),
    user: decodeURIComponent(parsed.username) || 'postgres',
    ...(password === '' ? {} : { password }),
    database: decodeURIComponent(parsed.pathname.slice(1)) || 'postgres',
    ...(sslMode === 'require' || sslMode === 'verify-full' ? { ssl: sslMode } : {}),
  };
};

/** Opens a pool of at most `max` connections. bigint columns arrive as JavaScript bigint. */
export const openSql = (url: string, options: { max?: number; applicationName?: string } = {}): Sql => {
  const { host, port, ...rest } = databaseOptions(url);
  return postgres({
    ...rest,
    // postgres.js reads a unix socket from `path`, not from a folder in `host`.
    ...(host.startsWith('/') ? { path: `${host}/.s.PGSQL.${port}` } : { host, port }),
    max: options.max ?? 10,
    connection: { application_name: options.applicationName ?? 'muster' },
    types: { bigint: postgres.BigInt },
    onnotice: () => {},
  } as unknown as postgres.Options<{ bigint: postgres.PostgresType<bigint> }>) as unknown as Sql;
};

/** The role that reads on behalf of a tenant: owns nothing, cannot bypass row-level security. */
export const readerRole = 'muster_reader';

/**
 * Runs `read` in a transaction that sees the rows of `tenantId` alone: it takes the reader role and binds the
 * tenant for row-level security, both for this transaction only.
 */
export const asTenant = async <T>(
  sql: Sql,
  tenantId: TenantId,
  read: (tx: Transaction) => Promise<T>,
): Promise<T> =>
  (await sql.begin(async (tx) => {
    tx`select set_config('role', ${readerRole}, true), set_config('muster.tenant_id', ${tenantId}, true)`.execute();
    return read(tx as Transaction);
  })) as T;
