/**
 * Sign-ins that a browser was sent to an identity provider for: good once, for ten minutes, in any server, and for the
 * browser alone that began. Neither the state nor what follows from the browser's secret is stored.
 * Opened by api/credentials.ts; called by api/sign-in/oidc/single-sign-on.ts.
 */
import { createHmac } from 'node:crypto';
import type { TenantId } from '../../domain/ids.ts';
import type { Portal } from '../../domain/sign-in/sign-in.ts';
import { type Clock, isoTime } from '../../platform/clock.ts';
import { hashSecret, newSecret } from '../../platform/new-id.ts';
import type { Sql } from '../../platform/sql.ts';

/** What the browser was sent for. */
export interface SingleSignOn {
  readonly tenantId: TenantId;
  readonly portal: Portal;
  readonly issuer: string;
  /** A path of our own. */
  readonly returnTo: string;
}

/** What is sent along and has to come back; it follows from the state and the browser's secret. */
export interface Ties {
  readonly state: string;
  readonly nonce: string;
  readonly verifier: string;
}

export interface SingleSignOns {
  /** Begins one; undefined when too many were begun from the address, as it is counted, within ten minutes. */
  begin(what: SingleSignOn, browserSecret: string, address: string): Promise<Ties | undefined>;
  /** Uses one up; undefined when there is none, or it is another browser's. */
  take(state: string, browserSecret: string): Promise<(SingleSignOn & { readonly ties: Ties }) | undefined>;
}

const lifetimeMs = 600_000;
/** Many people may share an address; a flood of beginnings must not fill the table. */
const perAddress = 500;

const tiesOf = (state: string, browserSecret: string): Ties => {
  const follow = (what: string) =>
    createHmac('sha256', browserSecret).update(`${what} ${state}`).digest('base64url');
  return { state, nonce: follow('nonce'), verifier: follow('verifier') };
};

/** Opens them; the vault must be migrated. */
export const openSingleSignOns = (sql: Sql, clock: Clock): SingleSignOns => ({
  async begin({ tenantId, portal, issuer, returnTo }, browserSecret, address) {
    const now = clock();
    await sql`delete from vault.single_sign_ons where expires_at < ${isoTime(now)}`;
    const ties = tiesOf(newSecret(), browserSecret);
    const begun = await sql`
      insert into vault.single_sign_ons
        (state_hash, browser_hash, tenant_id, portal, issuer, return_to, address, expires_at)
      select ${hashSecret(ties.state)}, ${hashSecret(browserSecret)}, ${tenantId}, ${portal}, ${issuer},
        ${returnTo}, ${address}, ${isoTime(now + lifetimeMs)}
      where (select count(*) from vault.single_sign_ons where address = ${address}) < ${perAddress}`;
    return begun.count > 0 ? ties : undefined;
  },
  async take(state, browserSecret) {
    // Used ones stay until they expire: they count against who begins too many.
    const [row] = await sql<SingleSignOn[]>`
      update vault.single_sign_ons set used = true
      where state_hash = ${hashSecret(state)} and browser_hash = ${hashSecret(browserSecret)}
        and not used and expires_at > ${isoTime(clock())}
      returning tenant_id as "tenantId", portal, issuer, return_to as "returnTo"`;
    return row && { ...row, ties: tiesOf(state, browserSecret) };
  },
});
