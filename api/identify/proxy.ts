/**
 * Identifies an EAS proxy by the certificate of its TLS connection (docs/adr/0006): TLS proved that it has the key, the
 * registration says whose it is. Called by api/proxy/main.ts.
 */
import { proxyDecider } from '../../domain/proxy/decide.ts';
import { tenantDecider } from '../../domain/tenant/decide.ts';
import type { StaleMailRule, UnknownMailDevices } from '../../domain/tenant/tenant.ts';
import type { Deps } from '../../platform/deps.ts';
import { holderOf, ofProxyOwner } from '../../platform/reservation.ts';
import { credentialMaxAgeMs as maxAgeMs, type ProxyCredential } from '../credentials.ts';

/** A proxy and what its tenant wants of it. */
export interface IdentifiedProxy extends ProxyCredential {
  readonly staleMailRule: StaleMailRule;
  readonly unknownMailDevices: UnknownMailDevices;
  readonly verifiesServer: boolean | null;
}

/** The proxy of a certificate (SHA-256, hex); null when it is unknown or revoked, or its tenant is not active. */
export const identifyProxy = async (
  deps: Pick<Deps, 'handler'>,
  certificateSha256: string,
): Promise<IdentifiedProxy | null> => {
  const unique = { kind: 'proxy-certificate', value: certificateSha256 } as const;
  const owner = await holderOf(deps.handler, unique, { maxAgeMs });
  if (owner === null) return null;
  const target = ofProxyOwner(owner);
  const { tenantId } = target;
  const [{ state }, tenant] = await Promise.all([
    deps.handler.load(proxyDecider, target, { maxAgeMs }),
    deps.handler.load(tenantDecider, { tenantId, id: tenantId }, { maxAgeMs }),
  ]);
  if (state.status !== 'active' || tenant.state.status !== 'active') return null;
  if (state.certificateSha256 !== certificateSha256) return null;
  const { verifiesServer } = state;
  const { staleMailRule, unknownMailDevices } = tenant.state;
  return {
    kind: 'proxy',
    tenantId,
    proxyId: target.id,
    staleMailRule,
    unknownMailDevices,
    verifiesServer,
  };
};
