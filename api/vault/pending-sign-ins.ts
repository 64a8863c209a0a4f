/**
 * Sign-ins whose password is proven and whose code is still to come: a random token, stored as its SHA-256, good once,
 * for five minutes, and for the address and program that it was given to. Opened by api/credentials.ts; called by
 * api/sign-in/second-factor.ts.
 */
import type { AccountId, TenantId } from '../../domain/ids.ts';
import type { Portal, SignInMethod } from '../../domain/sign-in/sign-in.ts';
import { type Clock, isoTime } from '../../platform/clock.ts';
import { hashSecret, newSecret } from '../../platform/new-id.ts';
import type { Sql } from '../../platform/sql.ts';
import type { PasswordDue } from '../sign-in/password.ts';

export interface PendingSignIn {
  readonly tenantId: TenantId;
  readonly accountId: AccountId;
  readonly portal: Portal;
  /** Whether the account was signed in to before from this address or program. */
  readonly known: boolean;
  readonly passwordDue: PasswordDue | null;
  readonly method: SignInMethod;
}

/** Who holds the token: the address as counted, and the program's own token where it has one. */
export interface Holder {
  readonly address: string;
  readonly clientToken: string | undefined;
}

export interface PendingSignIns {
  /** Makes one. The token is answered here and stored nowhere. */
  issue(
    pending: PendingSignIn,
    holder: Holder,
  ): Promise<{ readonly token: string; readonly expiresAt: string }>;
  /** What a token stands for; undefined when it is unknown, used up, expired or somebody else's. */
  find(token: string, holder: Holder): Promise<PendingSignIn | undefined>;
  /** Counts an attempt before its code is looked at; false when there were too many. */
  attempt(token: string): Promise<boolean>;
  /** Uses it up: true for exactly one of those who try. */
  take(token: string): Promise<boolean>;
  /** Ends those of an account. */
  endAll(tenantId: TenantId, accountId: AccountId): Promise<void>;
}

const lifetimeMs = 300_000;
const attemptsAtMost = 5;
const prefix = 'muster-pending.';

const digestOf = (token: string): string =>
  token.startsWith(prefix) ? hashSecret(token.slice(prefix.length)) : '';
const clientOf = ({ clientToken }: Holder): string =>
  clientToken === undefined ? '' : hashSecret(clientToken);

/** Opens them; the vault must be migrated. */
export const openPendingSignIns = (sql: Sql, clock: Clock): PendingSignIns => {
  const now = () => isoTime(clock());
  return {
    async issue({ tenantId, accountId, portal, known, passwordDue, method }, holder) {
      const secret = newSecret();
      const expiresAt = isoTime(clock() + lifetimeMs);
      await sql`delete from vault.pending_sign_ins where expires_at < ${now()}`;
      await sql`
        insert into vault.pending_sign_ins (token_hash, tenant_id, account_id, portal, address, client_hash, known,
          password_due, method, attempts, expires_at)
        values (${hashSecret(secret)}, ${tenantId}, ${accountId}, ${portal}, ${holder.address}, ${clientOf(holder)},
          ${known}, ${passwordDue}, ${method}, 0, ${expiresAt})`;
      return { token: `${prefix}${secret}`, expiresAt };
    },
    async find(token, holder) {
      const [row] = await sql<PendingSignIn[]>`
        select tenant_id as "tenantId", account_id as "accountId", portal, known, password_due as "passwordDue", method
        from vault.pending_sign_ins
        where token_hash = ${digestOf(token)} and expires_at > ${now()} and attempts < ${attemptsAtMost}
          and address = ${holder.address} and client_hash = ${clientOf(holder)}`;
      return row;
    },
    async attempt(token) {
      const counted = await sql`
        update vault.pending_sign_ins set attempts = attempts + 1
        where token_hash = ${digestOf(token)} and attempts < ${attemptsAtMost}`;
      return counted.count > 0;
    },
    async take(token) {
      return (await sql`delete from vault.pending_sign_ins where token_hash = ${digestOf(token)}`).count > 0;
    },
    async endAll(tenantId, accountId) {
      await sql`
        delete from vault.pending_sign_ins where tenant_id = ${tenantId} and account_id = ${accountId}`;
    },
  };
};
