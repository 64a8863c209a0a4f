/**
 * Passkeys of accounts (WebAuthn, W3C): their public keys, and the challenges that wait for an answer. Names, and which
 * account has which, are in the log. Opened by api/credentials.ts; called by api/sign-in/passkey.ts.
 */
import type { AccountId, PasskeyId, TenantId } from '../../domain/ids.ts';
import { type Clock, isoTime } from '../../platform/clock.ts';
import { newSecret } from '../../platform/new-id.ts';
import type { Sql } from '../../platform/sql.ts';
import type { PasswordOwner } from './passwords.ts';

/** What verifies a passkey. */
export interface StoredPasskey {
  /** Base64url, as the authenticator names it. */
  readonly credentialId: string;
  readonly passkeyId: PasskeyId;
  readonly tenantId: TenantId;
  readonly accountId: AccountId;
  /** COSE (RFC 9052). */
  readonly publicKey: Uint8Array<ArrayBuffer>;
  /** Of signatures, as last seen; authenticators that do not count say 0. */
  readonly counter: number;
  readonly transports: readonly string[];
  /** Whether it was backed up when it was last used: it is not on one device alone. */
  readonly backedUp: boolean;
  readonly createdAt: Date;
  readonly usedAt: Date | null;
}

export interface Passkeys {
  /** Makes a challenge that waits five minutes for the answer of `subject`: base64url, 256 bits. */
  challenge(subject: string): Promise<string>;
  /** Uses a challenge up: true for exactly one of those who answer it in time as that subject. */
  take(challenge: string, subject: string): Promise<boolean>;
  /** Stores a new passkey; false when its credential is known already. */
  add(passkey: Omit<StoredPasskey, 'createdAt' | 'usedAt'>): Promise<boolean>;
  find(credentialId: string): Promise<StoredPasskey | undefined>;
  list(owner: PasswordOwner): Promise<StoredPasskey[]>;
  /** Records a use; false when somebody else used it with that counter meanwhile. */
  use(passkey: StoredPasskey, counter: number, backedUp: boolean): Promise<boolean>;
  remove(owner: PasswordOwner, passkeyId: PasskeyId): Promise<void>;
  removeAll(owner: PasswordOwner): Promise<void>;
}

const waitsMs = 5 * 60_000;

const columns = `credential_id as "credentialId", passkey_id as "passkeyId", tenant_id as "tenantId",
  account_id as "accountId", public_key as "publicKey", counter::float8 as counter, transports,
  backed_up as "backedUp", created_at as "createdAt", used_at as "usedAt"`;

/** Opens them; the vault must be migrated. */
export const openPasskeys = (sql: Sql, clock: Clock): Passkeys => {
  const now = () => isoTime(clock());
  return {
    async challenge(subject) {
      const challenge = newSecret();
      await sql`delete from vault.passkey_challenges where expires_at < ${now()}`;
      await sql`
        insert into vault.passkey_challenges (challenge, subject, expires_at)
        values (${challenge}, ${subject}, ${isoTime(clock() + waitsMs)})`;
      return challenge;
    },
    async take(challenge, subject) {
      const taken = await sql`
        delete from vault.passkey_challenges
        where challenge = ${challenge} and subject = ${subject} and expires_at > ${now()}`;
      return taken.count > 0;
    },
    async add({ credentialId, passkeyId, tenantId, accountId, publicKey, counter, transports, backedUp }) {
      const added = await sql`
        insert into vault.passkeys (credential_id, passkey_id, tenant_id, account_id, public_key, counter, transports,
          backed_up, created_at)
        values (${credentialId}, ${passkeyId}, ${tenantId}, ${accountId}, ${Buffer.from(publicKey)}, ${counter},
          ${[...transports]}, ${backedUp}, ${now()})
        on conflict do nothing`;
      return added.count > 0;
    },
    async find(credentialId) {
      const [row] = await sql<StoredPasskey[]>`
        select ${sql.unsafe(columns)} from vault.passkeys where credential_id = ${credentialId}`;
      return row;
    },
    list: ({ tenantId, accountId }) => sql<StoredPasskey[]>`
      select ${sql.unsafe(columns)} from vault.passkeys
      where tenant_id = ${tenantId} and account_id = ${accountId} order by passkey_id`,
    async use({ credentialId, counter: known }, counter, backedUp) {
      const used = await sql`
        update vault.passkeys set counter = ${counter}, backed_up = ${backedUp}, used_at = ${now()}
        where credential_id = ${credentialId} and counter = ${known}`;
      return used.count > 0;
    },
    async remove({ tenantId, accountId }, passkeyId) {
      await sql`
        delete from vault.passkeys
        where tenant_id = ${tenantId} and account_id = ${accountId} and passkey_id = ${passkeyId}`;
    },
    async removeAll({ tenantId, accountId }) {
      await sql`delete from vault.passkeys where tenant_id = ${tenantId} and account_id = ${accountId}`;
    },
  };
};
