/**
 * Secrets of a tenant that must be read back, sealed, in PostgreSQL's schema `vault`: the directory's bind password,
 * the client secret of its identity provider, the secrets that enrolment codes follow from. Called by api/ (which sets them) and workers/ (which use them).
 */
import type { TenantId } from '../domain/ids.ts';
import type { Seal } from './seal.ts';
import type { Sql } from './sql.ts';

export interface SealedSecrets {
  /** Keeps a secret in place of the one there was. */
  put(tenantId: TenantId, purpose: string, secret: string): Promise<void>;
  /** Keeps a secret unless there is one: of several who try at once, one wins. */
  putFirst(tenantId: TenantId, purpose: string, secret: string): Promise<void>;
  /** The secret; null when there is none. */
  get(tenantId: TenantId, purpose: string): Promise<string | null>;
  remove(tenantId: TenantId, purpose: string): Promise<void>;
}

/** Where the bind password of a tenant's directory is kept. */
export const directoryPasswordPurpose = 'directory-bind-password';
/** Where the password, client secret or key of an Exchange connection is kept. */
export const exchangeSecretPurpose = (name: string): string => `exchange/${name}`;
/** Where the client secret of a tenant's identity provider is kept. */
export const identityProviderSecretPurpose = 'identity-provider-secret';
/** Where the secret of a handout is kept, from which its codes follow. */
export const handoutPurpose = (handoutId: string): string => `handout/${handoutId}`;

/** Opens the store; the vault must be migrated. */
export const openSealedSecrets = (sql: Sql, seal: Seal): SealedSecrets => ({
  async put(tenantId, purpose, secret) {
    const sealed = seal.seal(secret, { tenantId, purpose });
    await sql`
      insert into vault.sealed_secrets (tenant_id, purpose, sealed) values (${tenantId}, ${purpose}, ${sealed})
      on conflict (tenant_id, purpose) do update set sealed = excluded.sealed, created_at = now()`;
  },
  async putFirst(tenantId, purpose, secret) {
    const sealed = seal.seal(secret, { tenantId, purpose });
    await sql`
      insert into vault.sealed_secrets (tenant_id, purpose, sealed) values (${tenantId}, ${purpose}, ${sealed})
      on conflict (tenant_id, purpose) do nothing`;
  },
  async get(tenantId, purpose) {
    const [row] = await sql<{ sealed: string }[]>`
      select sealed from vault.sealed_secrets where tenant_id = ${tenantId} and purpose = ${purpose}`;
    return row ? seal.open(row.sealed, { tenantId, purpose }) : null;
  },
  async remove(tenantId, purpose) {
    await sql`delete from vault.sealed_secrets where tenant_id = ${tenantId} and purpose = ${purpose}`;
  },
});
