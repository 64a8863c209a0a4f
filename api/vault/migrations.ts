/**
 * The `vault` schema in PostgreSQL: password hashes, sessions, links, failed attempts, sealed secrets. Unlike read models it cannot be
 * derived from the log and must be backed up with it. Called by api/credentials.ts at start.
 */
import { MusterError } from '../../platform/errors.ts';
import { type Sql, transaction } from '../../platform/sql.ts';

/** Numbered by position, from 1; a migration that was released is never edited. */
const migrations: readonly string[] = [
  `create table vault.passwords (
     tenant_id text not null,
     account_id text not null,
     hash text not null,
     must_change boolean not null,
     issued_at timestamptz not null,
     signed_in_at timestamptz,
     primary key (tenant_id, account_id));
   create table vault.sessions (
     token_hash text primary key,
     tenant_id text not null,
     account_id text not null,
     created_at timestamptz not null,
     used_at timestamptz not null);
   create index on vault.sessions (tenant_id, account_id);
   create index on vault.sessions (created_at);
   create table vault.attempts (
     subject text primary key,
     failures int not null,
     free_at timestamptz not null,
     last_at timestamptz not null);
   create index on vault.attempts (last_at);`,
  `create table vault.api_key_uses (
     tenant_id text not null,
     api_key_id text not null,
     used_at timestamptz not null,
     address text not null,
     primary key (tenant_id, api_key_id));`,
  `create table vault.support_sessions (
     token_hash text primary key,
     tenant_id text not null,
     account_id text not null,
     opened_by text not null,
     until timestamptz not null);
   create index on vault.support_sessions (tenant_id);
   create index on vault.support_sessions (until);`,
  `create table vault.sealed_secrets (
     tenant_id text not null,
     purpose text not null,
     sealed text not null,
     created_at timestamptz not null default now(),
     primary key (tenant_id, purpose));
   create table vault.portal_sessions (
     token_hash text primary key,
     tenant_id text not null,
     user_id text not null,
     created_at timestamptz not null,
     used_at timestamptz not null);
   create index on vault.portal_sessions (tenant_id, user_id);
   create index on vault.portal_sessions (created_at);`,
  `alter table vault.sessions
     add column session_id text not null default gen_random_uuid()::text,
     add column portal text not null default 'admin',
     add column address text not null default '',
     add column user_agent text;
   create unique index on vault.sessions (session_id);
   create table vault.password_history (
     tenant_id text not null,
     account_id text not null,
     hash text not null,
     at timestamptz not null);
   create index on vault.password_history (tenant_id, account_id, at);
   create table vault.known_clients (
     subject text not null,
     client text not null,
     last_at timestamptz not null,
     primary key (subject, client));
   create index on vault.known_clients (last_at);
   create table vault.lanes (
     subject text primary key,
     next_at timestamptz not null);
   create index on vault.lanes (next_at);
   create table vault.tickets (
     subject text primary key,
     due_at timestamptz not null);
   create index on vault.tickets (due_at);
   create table vault.links (
     token_hash text primary key,
     tenant_id text not null,
     account_id text not null,
     kind text not null,
     expires_at timestamptz not null);
   create index on vault.links (tenant_id, account_id);
   create index on vault.links (expires_at);
   create table vault.tallies (
     kind text not null,
     tenant_id text not null,
     account_id text not null,
     hour timestamptz not null,
     address text not null,
     times int not null,
     primary key (kind, tenant_id, account_id, hour, address));
   create index on vault.tallies (hour);`,
  `create table vault.totp_steps (
     tenant_id text not null,
     account_id text not null,
     last_step bigint not null,
     primary key (tenant_id, account_id));
   create table vault.recovery_codes (
     tenant_id text not null,
     account_id text not null,
     code_hash text not null,
     primary key (tenant_id, account_id, code_hash));
   create table vault.pending_sign_ins (
     token_hash text primary key,
     tenant_id text not null,
     account_id text not null,
     portal text not null,
     address text not null,
     client_hash text not null,
     known boolean not null,
     password_due text,
     attempts int not null,
     expires_at timestamptz not null);
   create index on vault.pending_sign_ins (tenant_id, account_id);
   create index on vault.pending_sign_ins (expires_at);`,
  `create table vault.passkeys (
     credential_id text primary key,
     passkey_id text not null unique,
     tenant_id text not null,
     account_id text not null,
     public_key bytea not null,
     counter bigint not null,
     transports text[] not null,
     backed_up boolean not null,
     created_at timestamptz not null,
     used_at timestamptz);
   create index on vault.passkeys (tenant_id, account_id);
   create table vault.passkey_challenges (
     challenge text primary key,
     subject text not null,
     expires_at timestamptz not null);
   create index on vault.passkey_challenges (expires_at);`,
  `create table vault.single_sign_ons (
     state_hash text primary key,
     browser_hash text not null,
     tenant_id text not null,
     portal text not null,
     issuer text not null,
     return_to text not null,
     address text not null,
     used boolean not null default false,
     expires_at timestamptz not null);
   create index on vault.single_sign_ons (address);
   create index on vault.single_sign_ons (expires_at);
   alter table vault.sessions
     add column method text not null default 'password',
     add column vouched boolean not null default false;
   alter table vault.pending_sign_ins
     add column method text not null default 'password';`,
  `create table vault.proxy_states (
     tenant_id text not null,
     proxy_id text not null,
     reported_at timestamptz not null,
     state jsonb not null,
     primary key (tenant_id, proxy_id));`,
];

/** Any number that no other part of Muster locks: processes that start together migrate one after another. */
const migrationLock = 5_183_001n;

/** Brings the schema to its current version; refuses one that a newer Muster wrote. */
export const migrateVault = async (sql: Sql): Promise<void> => {
  await transaction(sql, async (tx) => {
    await tx`select pg_advisory_xact_lock(${migrationLock.toString()}::bigint)`;
    await tx`create schema if not exists vault`;
    await tx`create table if not exists vault.migrations (number int primary key, at timestamptz not null default now())`;
    const [row] = await tx<{ number: number }[]>`
      select coalesce(max(number), 0)::int as number from vault.migrations`;
    const current = row?.number ?? 0;
    if (current > migrations.length)
      throw new MusterError(
        'config-invalid',
        `the vault is at version ${current}; this Muster knows ${migrations.length}. Start the newer Muster.`,
      );
    for (const [index, statements] of migrations.entries()) {
      if (index < current) continue;
      await tx.unsafe(statements);
      await tx`insert into vault.migrations (number) values (${index + 1})`;
    }
  });
};
