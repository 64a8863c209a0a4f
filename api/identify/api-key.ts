/**
 * Identifies a program by its API key (docs/adr/0006). Called by index.ts.
 */
import { apiKeyDecider } from '../../domain/api-key/decide.ts';
import {
  type ApiKeyId,
  apiKeyId as apiKeyIdSchema,
  type TenantId,
  tenantId as tenantIdSchema,
} from '../../domain/ids.ts';
import { tenantDecider } from '../../domain/tenant/decide.ts';
import { isoTime } from '../../platform/clock.ts';
import type { Deps } from '../../platform/deps.ts';
import { hashSecret, sameHash } from '../../platform/new-id.ts';
import { type ApiKeyCredential, type Credentials, credentialMaxAgeMs as maxAgeMs } from '../credentials.ts';

/** The token of an API key, `muster-key.<tenantId>.<apiKeyId>.<secret>`: it says whose it is, the secret proves it. */
export const apiKeyToken = (tenantId: TenantId, apiKeyId: ApiKeyId, secret: string): string =>
  `muster-key.${tenantId}.${apiKeyId}.${secret}`;

/** The API key that a token stands for; null when it is malformed, unknown, expired or revoked. */
export const identifyApiKey = async (
  deps: Pick<Deps, 'handler'>,
  credentials: Credentials,
  token: string,
  address: string,
  use: boolean,
): Promise<ApiKeyCredential | null> => {
  const [, tenant, key, secret, ...rest] = token.split('.');
  const tenantId = tenantIdSchema.safeParse(tenant);
  const apiKeyId = apiKeyIdSchema.safeParse(key);
  if (!tenantId.success || !apiKeyId.success || !secret || rest.length > 0) return null;
  const target = { tenantId: tenantId.data, id: apiKeyId.data };
  const [{ state }, owner] = await Promise.all([
    deps.handler.load(apiKeyDecider, target, { maxAgeMs }),
    deps.handler.load(tenantDecider, { tenantId: tenantId.data, id: tenantId.data }, { maxAgeMs }),
  ]);
  if (state.status !== 'active' || owner.state.status !== 'active') return null;
  if (!sameHash(state.tokenHash, hashSecret(secret)) || state.expiresAt <= isoTime(credentials.clock()))
    return null;
  if (use) await credentials.apiKeyUses.record(tenantId.data, apiKeyId.data, address);
  const permissions = new Set(state.permissions);
  const ids = { tenantId: tenantId.data, apiKeyId: apiKeyId.data };
  return { kind: 'api-key', ...ids, role: `API key ${state.name}`, permissions, token };
};
