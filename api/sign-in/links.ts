/**
 * Invitations and password resets: makes a link, mails it, and lets its holder choose a password, once.
 * Called by api/graphql/link.ts.
 */
import { accountDecider } from '../../domain/account/decide.ts';
import { isRefusal, type Refusal, refuse } from '../../domain/refusals.ts';
import type { LinkKind, SignInState } from '../../domain/sign-in/sign-in.ts';
import { tenantDecider } from '../../domain/tenant/decide.ts';
import type { TenantState } from '../../domain/tenant/tenant.ts';
import { MusterError } from '../../platform/errors.ts';
import type { Actor } from '../../platform/event-store.ts';
import type { Mail } from '../../platform/mail.ts';
import { countedAddress, isAllowed } from '../address.ts';
import type { PasswordOwner } from '../vault/passwords.ts';
import { signInSettings } from './door.ts';
import { endSessions } from './end-sessions.ts';
import { accountIn, type EnterParts, type Proven, requireTurn, subjectOf, tenantOf } from './enter.ts';
import { refusePassword } from './password.ts';

type Account = Proven['account'];
type Tenant = Exclude<TenantState, { status: 'none' }>;

/** A link that was made. `link` is there when it could not be mailed: it is shown this once. */
export interface IssuedLink {
  readonly link: string | null;
  readonly mailed: boolean;
  readonly expiresAt: string;
  readonly position: bigint | undefined;
}

const subjects: Readonly<Record<LinkKind, (tenant: Tenant) => string>> = {
  invitation: ({ name }) => `You are invited to ${name}`,
  reset: ({ name }) => `A new password for ${name}`,
};

const mailOf = (kind: LinkKind, account: Account, tenant: Tenant, link: string, expiresAt: string): Mail => ({
  to: account.email,
  subject: subjects[kind](tenant),
  text: [
    `Hello ${account.name},`,
    '',
    kind === 'invitation'
      ? `you can administer ${tenant.name} (short name: ${tenant.slug}). Choose a password here:`
      : `somebody, probably you, asked for a new password for ${tenant.name} (short name: ${tenant.slug}). Choose one here:`,
    '',
    link,
    '',
    `The link works once, until ${expiresAt}. If you did not expect this mail, ignore it.`,
    '',
  ].join('\n'),
});

/** Enabled account and active tenant; undefined when either is not. */
const insiderOf = async (
  { deps }: EnterParts,
  { tenantId, accountId }: PasswordOwner,
): Promise<{ account: Account; tenant: Tenant } | undefined> => {
  const [tenant, account] = await Promise.all([
    deps.handler.load(tenantDecider, { tenantId, id: tenantId }),
    deps.handler.load(accountDecider, { tenantId, id: accountId }),
  ]);
  if (tenant.state.status !== 'active' || account.state.status !== 'enabled') return undefined;
  return { account: account.state, tenant: tenant.state };
};

const linkTo = ({ door }: EnterParts, token: string): string =>
  // The fragment stays in the browser: no log of a server between holds the token.
  `${door.publicUrl()}/redeem#${token}`;

/** Hands a mail over; whether that worked. */
const tryMail = async ({ deps, door }: EnterParts, mail: Mail): Promise<boolean> => {
  if (!door.mailer) return false;
  try {
    await door.mailer.send(mail);
    return true;
  } catch (err) {
    deps.log.error({ err }, 'a link could not be mailed');
    return false;
  }
};

/** Makes a link for an account on behalf of `by`; refuses accounts that cannot sign in. */
export const issueLink = async (
  parts: EnterParts,
  owner: PasswordOwner,
  kind: LinkKind,
  by: Actor,
): Promise<IssuedLink | Refusal> => {
  const insider = await insiderOf(parts, owner);
  if (!insider) return refuse('account-disabled', { field: 'accountId' });
  const { token, expiresAt } = await parts.credentials.links.issue({ ...owner, kind });
  const link = linkTo(parts, token);
  const mailed = await tryMail(parts, mailOf(kind, insider.account, insider.tenant, link, expiresAt));
  const { position } = await parts.door.recorder.tell(
    owner.tenantId,
    { type: 'SignInLinkIssued', data: { accountId: owner.accountId, kind, mailed, expiresAt } },
    { actor: by, requestId: parts.requestId },
  );
  return { link: mailed ? null : link, mailed, expiresAt, position };
};

const mailReset = async (parts: EnterParts, owner: PasswordOwner): Promise<void> => {
  const { credentials, door, requestId } = parts;
  const insider = await insiderOf(parts, owner);
  if (!insider || (await credentials.links.wasResetJustNow(owner.tenantId, owner.accountId))) return;
  const { token, expiresAt } = await credentials.links.issue({ ...owner, kind: 'reset' });
  const mail = mailOf('reset', insider.account, insider.tenant, linkTo(parts, token), expiresAt);
  const { tenantId, accountId } = owner;
  if (await tryMail(parts, mail)) {
    const data = { accountId, kind: 'reset', mailed: true, expiresAt } as const;
    await door.recorder.tell(tenantId, { type: 'SignInLinkIssued', data }, { requestId });
    return;
  }
  const reason = door.mailer ? 'mail-refused' : 'no-mail-transport';
  parts.deps.log.warn({ tenantId, accountId, reason }, 'a password reset was asked for and not mailed');
  await door.recorder.tell(
    tenantId,
    { type: 'SignInLinkUndeliverable', data: { accountId, reason } },
    { requestId },
  );
};

/**
 * Mails a reset to the account that was typed, if there is one: everything that differs happens after the answer.
 * Throws `too-many-attempts`, for accounts that do not exist too.
 */
export const requestReset = async (
  parts: EnterParts,
  typed: { readonly tenantSlug: string; readonly email: string },
): Promise<void> => {
  const account = `reset/${subjectOf(typed.tenantSlug, typed.email)}`;
  await requireTurn(parts, { account, address: countedAddress(parts.address) }, null);
  parts.door.recorder.later('password reset', async () => {
    const tenantId = await tenantOf(parts.deps, typed.tenantSlug);
    const accountId = await accountIn(parts.deps, tenantId, typed.email);
    if (tenantId && accountId) await mailReset(parts, { tenantId, accountId });
  });
};

/** Who chose a password by a link. */
export interface Redeemed {
  readonly tenantSlug: string;
  readonly email: string;
  readonly clientToken: string;
  readonly position: bigint | undefined;
}

const requireAddress = ({ address }: EnterParts, { addresses }: SignInState): void => {
  if (!isAllowed(address, addresses.admin))
    throw new MusterError('address-refused', `${address} is not in the list of allowed addresses`);
};

/**
 * Chooses a password by a link; sessions of the account end. Refuses `link-invalid`, and `password-refused`, after
 * which the link can still be used. Throws `address-refused`.
 */
export const redeemLink = async (
  parts: EnterParts,
  { token, newPassword }: { readonly token: string; readonly newPassword: string },
): Promise<Redeemed | Refusal> => {
  const { deps, credentials, door, requestId } = parts;
  const invalid = refuse('link-invalid', { field: 'token' });
  const link = await credentials.links.find(token);
  const insider = link && (await insiderOf(parts, link));
  if (!link || !insider) return invalid;
  const { tenantId, accountId, kind } = link;
  const owner = { tenantId, accountId };
  const { account, tenant } = insider;
  const settings = await signInSettings(deps, tenantId);
  requireAddress(parts, settings);
  const choice = { owner, account, policy: settings.passwordPolicy, password: newPassword };
  const refused = await refusePassword(choice, door.lists, credentials.passwords);
  if (refused) return refused;
  if (!(await credentials.links.take(token))) return invalid;
  await credentials.passwords.choose(owner, newPassword);
  await credentials.links.endAll(tenantId, accountId);
  const actor = { kind: 'account', id: accountId } as const;
  await endSessions(parts, owner, { reason: 'link-redeemed', by: actor });
  const changed = await deps.handler.handle(
    accountDecider,
    { tenantId, id: accountId },
    { type: 'ChangeAccountPassword', mustChange: false },
    { actor, commandId: requestId },
  );
  if (isRefusal(changed)) return changed;
  const address = countedAddress(parts.address);
  const data = { accountId, kind, address };
  await door.recorder.tell(tenantId, { type: 'SignInLinkRedeemed', data }, { actor, requestId });
  const clientToken = await credentials.attempts.remember({
    account: subjectOf(tenant.slug, account.email),
    address,
  });
  return { tenantSlug: tenant.slug, email: account.email, clientToken, position: changed.position };
};
