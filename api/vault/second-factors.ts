/**
 * What proves that somebody holds an account's second factor: its TOTP seed (RFC 6238), sealed; the last time step that
 * was accepted; SHA-256 digests of its recovery codes. Whether the account has one is in the log.
 * Opened by api/credentials.ts; called by api/sign-in/second-factor.ts.
 */
import { Secret, TOTP } from 'otpauth';
import { type Clock, isoTime } from '../../platform/clock.ts';
import { canonicalCode, hashSecret, newCode } from '../../platform/new-id.ts';
import type { SealedSecrets } from '../../platform/sealed-secrets.ts';
import { type Sql, transaction } from '../../platform/sql.ts';
import type { PasswordOwner } from './passwords.ts';

/** What a code turned out to be; `left` says how many recovery codes are good still. */
export type CodeProof =
  | { readonly by: 'totp' }
  | { readonly by: 'recovery-code'; readonly left: number }
  | undefined;

/** A seed as shown to its owner. */
export interface Seed {
  /** Base 32 (RFC 4648 §6). */
  readonly secret: string;
  /** For authenticator apps, as a QR code. */
  readonly uri: string;
}

export interface SecondFactors {
  /** Makes a seed that waits 15 minutes for its first code; one that waited before ends. */
  begin(owner: PasswordOwner, label: { readonly issuer: string; readonly account: string }): Promise<Seed>;
  /** Holds a code against the waiting seed, and puts it in force when it is right; null: none waits. */
  confirm(owner: PasswordOwner, code: string): Promise<boolean | null>;
  /** Uses a code up: each time step, and each recovery code, is good once. Undefined when it is wrong or used. */
  use(owner: PasswordOwner, code: string): Promise<CodeProof>;
  /** Makes recovery codes in place of those there were. They are answered here and stored nowhere. */
  renewRecoveryCodes(owner: PasswordOwner): Promise<string[]>;
  /** How many recovery codes are good still. */
  recoveryCodesLeft(owner: PasswordOwner): Promise<number>;
  /** Forgets the app; recovery codes stay good. */
  removeTotp(owner: PasswordOwner): Promise<void>;
  /** Forgets everything. */
  remove(owner: PasswordOwner): Promise<void>;
}

/** RFC 4226 §4 R6 recommends 160 bits. */
const seedBytes = 20;
const recoveryCodes = 10;
const waitsMs = 15 * 60_000;
/** Codes of the time step before and after are good too (RFC 6238 §5.2): clocks differ, and people type. */
const stepsAround = 1;

const purposeOf = ({ accountId }: PasswordOwner): string => `totp/${accountId}`;
const waitingPurposeOf = ({ accountId }: PasswordOwner): string => `totp-waiting/${accountId}`;

/** The time step whose code it is; undefined when it is none's within the window. */
const stepOf = (secret: string, code: string, now: number): number | undefined => {
  const totp = new TOTP({ secret: Secret.fromBase32(secret) });
  const delta = totp.validate({ token: code, timestamp: now, window: stepsAround });
  return delta === null ? undefined : totp.counter({ timestamp: now }) + delta;
};

/** What authenticator apps show, however it is typed; undefined when it can be no such code. */
const digitsOf = (code: string): string | undefined => /^\d{6}$/.exec(code.replace(/\s/g, ''))?.[0];

/** Opens them; the vault must be migrated. */
export const openSecondFactors = (sql: Sql, secrets: SealedSecrets, clock: Clock): SecondFactors => {
  /** Whether the step is later than every one accepted before: true for exactly one of those who try. */
  const takeStep = async ({ tenantId, accountId }: PasswordOwner, step: number): Promise<boolean> => {
    const taken = await sql`
      insert into vault.totp_steps as known (tenant_id, account_id, last_step)
      values (${tenantId}, ${accountId}, ${step})
      on conflict (tenant_id, account_id) do update set last_step = excluded.last_step
      where known.last_step < excluded.last_step`;
    return taken.count > 0;
  };
  const useDigits = async (owner: PasswordOwner, secret: string, digits: string): Promise<boolean> => {
    const step = stepOf(secret, digits, clock());
    return step !== undefined && (await takeStep(owner, step));
  };
  const recoveryCodesLeft = async ({ tenantId, accountId }: PasswordOwner): Promise<number> =>
    (
      await sql`
        select 1 from vault.recovery_codes where tenant_id = ${tenantId} and account_id = ${accountId}`
    ).length;
  const removeTotp = async (owner: PasswordOwner): Promise<void> => {
    const { tenantId, accountId } = owner;
    await secrets.remove(tenantId, purposeOf(owner));
    await secrets.remove(tenantId, waitingPurposeOf(owner));
    await sql`delete from vault.totp_steps where tenant_id = ${tenantId} and account_id = ${accountId}`;
  };
  return {
    async begin(owner, { issuer, account }) {
      const secret = new Secret({ size: seedBytes }).base32;
      const until = isoTime(clock() + waitsMs);
      await secrets.put(owner.tenantId, waitingPurposeOf(owner), `${until} ${secret}`);
      return { secret, uri: new TOTP({ secret, issuer, label: account }).toString() };
    },
    async confirm(owner, code) {
      const waiting = await secrets.get(owner.tenantId, waitingPurposeOf(owner));
      const [until, secret] = waiting?.split(' ') ?? [];
      if (until === undefined || secret === undefined || until <= isoTime(clock())) return null;
      const digits = digitsOf(code);
      if (digits === undefined || !(await useDigits(owner, secret, digits))) return false;
      await secrets.put(owner.tenantId, purposeOf(owner), secret);
      await secrets.remove(owner.tenantId, waitingPurposeOf(owner));
      return true;
    },
    async use(owner, code) {
      const digits = digitsOf(code);
      if (digits !== undefined) {
        const secret = await secrets.get(owner.tenantId, purposeOf(owner));
        return secret !== null && (await useDigits(owner, secret, digits)) ? { by: 'totp' } : undefined;
      }
      const { tenantId, accountId } = owner;
      const used = await sql`
        delete from vault.recovery_codes where tenant_id = ${tenantId} and account_id = ${accountId}
          and code_hash = ${hashSecret(canonicalCode(code))}`;
      return used.count > 0 ? { by: 'recovery-code', left: await recoveryCodesLeft(owner) } : undefined;
    },
    async renewRecoveryCodes({ tenantId, accountId }) {
      const codes = Array.from({ length: recoveryCodes }, newCode);
      const rows = codes.map((code) => ({
        tenant_id: tenantId,
        account_id: accountId,
        code_hash: hashSecret(canonicalCode(code)),
      }));
      await transaction(sql, async (tx) => {
        await tx`delete from vault.recovery_codes where tenant_id = ${tenantId} and account_id = ${accountId}`;
        await tx`insert into vault.recovery_codes ${tx(rows)}`;
      });
      return codes;
    },
    recoveryCodesLeft,
    removeTotp,
    async remove(owner) {
      const { tenantId, accountId } = owner;
      await removeTotp(owner);
      await sql`delete from vault.recovery_codes where tenant_id = ${tenantId} and account_id = ${accountId}`;
    },
  };
};
