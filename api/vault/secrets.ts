/**
 * Sealed secrets of tenants by purpose, such as the secret key of a challenge. Opened by api/credentials.ts.
 */
import type { Sql } from '../../platform/sql.ts';
import type { Seal, SealedFor } from './seal.ts';

export interface Secrets {
  keep(whose: SealedFor, secret: string): Promise<void>;
  /** The secret; undefined when there is none. */
  find(whose: SealedFor): Promise<string | undefined>;
}

/** Opens the secrets; the vault must be migrated. */
export const openSecrets = (sql: Sql, seal: Seal): Secrets => ({
  async keep(whose, secret) {
    const sealed = seal.seal(secret, whose);
    await sql`
      insert into vault.secrets (tenant_id, purpose, sealed) values (${whose.tenantId}, ${whose.purpose}, ${sealed})
      on conflict (tenant_id, purpose) do update set sealed = excluded.sealed`;
  },
  async find(whose) {
    const [row] = await sql<{ sealed: string }[]>`
      select sealed from vault.secrets where tenant_id = ${whose.tenantId} and purpose = ${whose.purpose}`;
    return row && seal.open(row.sealed, whose);
  },
});
