/**
 * How a tenant's directory is spoken to: its settings from the log, its bind password from the vault. Called by
 * api/graphql/directory.ts, portal.ts and workers/sync-directory.ts.
 */
import { directoryDecider } from '../domain/directory/decide.ts';
import type { TenantId } from '../domain/ids.ts';
import type { Handler } from './handle.ts';
import type { DirectoryAccess } from './ldap/directory.ts';
import { directoryPasswordPurpose, type SealedSecrets } from './sealed-secrets.ts';

/** The directory of a tenant as it is now; null when it has none. */
export const directoryOf = async (
  parts: { readonly handler: Handler; readonly secrets: SealedSecrets; readonly allowLoopback: boolean },
  tenantId: TenantId,
): Promise<DirectoryAccess | null> => {
  const { state } = await parts.handler.load(directoryDecider, { tenantId, id: tenantId });
  if (state.status === 'none') return null;
  const bindPassword = await parts.secrets.get(tenantId, directoryPasswordPurpose);
  return { settings: state.settings, bindPassword, allowLoopback: parts.allowLoopback };
};
