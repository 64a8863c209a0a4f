/**
 * Who is calling, by the kind of token that is sent: an account, support, an API key or a user of the portal.
 * Called by the edges of api/ that serve people and programs.
 */
import type { Deps } from '../../platform/deps.ts';
import type { Caller, Credential, Credentials } from '../credentials.ts';
import { isSupportToken } from '../vault/support-sessions.ts';
import { identifyAccount } from './account.ts';
import { identifyApiKey } from './api-key.ts';
import { identifyUser } from './portal-user.ts';
import { identifySupport } from './support.ts';

/**
 * Whom the caller's token stands for; null when it stands for nobody. Throws `address-refused` as `identifyAccount`
 * does. Without `use` the token is only looked at.
 */
export const identify = async (
  deps: Pick<Deps, 'handler'>,
  credentials: Credentials,
  caller: Caller,
  { use = true }: { readonly use?: boolean } = {},
): Promise<Credential | null> => {
  const { token, address } = caller;
  if (token === undefined) return null;
  if (isSupportToken(token)) return identifySupport(deps, credentials, token);
  if (token.startsWith('muster-key.')) return identifyApiKey(deps, credentials, token, address, use);
  if (token.startsWith('muster-portal.')) return identifyUser(deps, credentials, caller, use);
  return identifyAccount(deps, credentials, caller, { use });
};
