/**
 * Creates the operator tenant, its first account and the trial, so that a fresh installation can be signed in to.
 * Called by cli/ at every start of the server, and by tests.
 */
import { randomUUID } from 'node:crypto';
import { accountDecider } from '../domain/account/decide.ts';
import type { AccountId } from '../domain/ids.ts';
import { licenceDecider } from '../domain/licence/decide.ts';
import { isRefusal } from '../domain/refusals.ts';
import { tenantDecider } from '../domain/tenant/decide.ts';
import { operatorTenantId } from '../domain/tenant/tenant.ts';
import type { Deps } from '../platform/deps.ts';
import { MusterError } from '../platform/errors.ts';
import type { Cause } from '../platform/handle.ts';
import { theLicence } from '../platform/licence.ts';
import { newUuid } from '../platform/new-id.ts';
import { reserve } from './reservation.ts';
import { migrateVault } from './vault/migrations.ts';
import { openPasswords } from './vault/passwords.ts';

/** How to sign in as operator. `password` is there only when one was issued just now: it is shown this once. */
export interface Bootstrapped {
  readonly created: boolean;
  readonly tenantSlug: 'operator';
  readonly email: string;
  readonly password?: string;
}

/** The same in every installation, like the operator tenant's id. */
const firstAccountId = `acc${'0'.repeat(26)}` as AccountId;
const tenantSlug = 'operator';
const email = 'operator@muster.local';

const accepted = <T>(outcome: T): void => {
  if (isRefusal(outcome)) throw new MusterError('internal', `bootstrap was refused: ${outcome.refused}`);
};

/**
 * Creates what is missing; safe to repeat, and to run in two processes at once, since every id is fixed. Until the
 * operator has signed in for the first time, a start more than a minute after the last one issues a new one-time
 * password: the earlier one may never have been seen. Afterwards it changes nothing.
 */
export const bootstrapOperator = async (deps: Deps): Promise<Bootstrapped> => {
  const { handler } = deps;
  const cause: Cause = { actor: { kind: 'system', id: 'bootstrap' }, commandId: newUuid() };
  const tenantId = operatorTenantId;
  accepted(await reserve(handler, { kind: 'tenant-slug', value: tenantSlug }, tenantId, cause));
  accepted(
    await handler.handle(
      tenantDecider,
      { tenantId, id: tenantId },
      { type: 'CreateTenant', name: 'Operator', slug: tenantSlug, kind: 'operator' },
      cause,
    ),
  );
  accepted(
    await handler.handle(
      licenceDecider,
      theLicence,
      (now) => ({ type: 'InstallLicence' as const, now, installationId: randomUUID() }),
      cause,
    ),
  );
  accepted(await reserve(handler, { kind: 'account-email', value: email, tenantId }, firstAccountId, cause));
  const account = { tenantId, id: firstAccountId };
  accepted(
    await handler.handle(
      accountDecider,
      account,
      { type: 'CreateAccount', email, name: 'Operator', role: 'operator' },
      cause,
    ),
  );
  const { state } = await handler.load(accountDecider, account);
  if (state.status !== 'enabled') return { created: false, tenantSlug, email };
  await migrateVault(deps.sql);
  const passwords = await openPasswords(deps.sql, deps.clock);
  const password = await passwords.issueFirst({ tenantId, accountId: firstAccountId });
  if (password === undefined) return { created: false, tenantSlug, email };
  accepted(
    await handler.handle(accountDecider, account, { type: 'ChangeAccountPassword', mustChange: true }, cause),
  );
  return { created: true, tenantSlug, email, password };
};
