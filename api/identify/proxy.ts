/**
 * Identifies an EAS proxy by its token (docs/adr/0006). Called by api/proxy/feed.ts.
 */
import {
  type ProxyId,
  proxyId as proxyIdSchema,
  type TenantId,
  tenantId as tenantIdSchema,
} from '../../domain/ids.ts';
import { proxyDecider } from '../../domain/proxy/decide.ts';
import { tenantDecider } from '../../domain/tenant/decide.ts';
import type { Deps } from '../../platform/deps.ts';
import { hashSecret, sameHash } from '../../platform/new-id.ts';
import { credentialMaxAgeMs as maxAgeMs, type ProxyCredential } from '../credentials.ts';

/** The token of a proxy, `muster-proxy.<tenantId>.<proxyId>.<secret>`: it says whose it is, the secret proves it. */
export const proxyToken = (tenantId: TenantId, proxyId: ProxyId, secret: string): string =>
  `muster-proxy.${tenantId}.${proxyId}.${secret}`;

/** The proxy that a token stands for; null when it is malformed, unknown, replaced or revoked. */
export const identifyProxy = async (
  deps: Pick<Deps, 'handler'>,
  token: string | undefined,
): Promise<ProxyCredential | null> => {
  const [kind, tenant, proxy, secret, ...rest] = (token ?? '').split('.');
  const tenantId = tenantIdSchema.safeParse(tenant);
  const proxyId = proxyIdSchema.safeParse(proxy);
  if (kind !== 'muster-proxy' || !tenantId.success || !proxyId.success || !secret || rest.length > 0)
    return null;
  const target = { tenantId: tenantId.data, id: proxyId.data };
  const [{ state }, owner] = await Promise.all([
    deps.handler.load(proxyDecider, target, { maxAgeMs }),
    deps.handler.load(tenantDecider, { tenantId: tenantId.data, id: tenantId.data }, { maxAgeMs }),
  ]);
  if (state.status !== 'active' || owner.state.status !== 'active') return null;
  if (!sameHash(state.tokenHash, hashSecret(secret))) return null;
  return { kind: 'proxy', tenantId: tenantId.data, proxyId: proxyId.data };
};
