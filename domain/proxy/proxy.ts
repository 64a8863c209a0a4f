/**
 * Facts and state of a registered EAS proxy: the credential with which a `muster proxy` follows its tenant's mail
 * verdicts. Decided by decide.ts beside this file; read by projections/proxies.ts.
 */
import { z } from 'zod';
import { defineEvents, type EventOf, type Fact, never } from '../decider.ts';
import { name } from '../text.ts';

/** SHA-256, hex. */
export const digest = z.string().regex(/^[0-9a-f]{64}$/);

export const proxyEvents = defineEvents('proxy', {
  ProxyRegistered: z.strictObject({ name, tokenHash: digest }),
  ProxyTokenReplaced: z.strictObject({ tokenHash: digest }),
  ProxyRevoked: z.strictObject({}),
});

export type ProxyEvent = EventOf<typeof proxyEvents>;

export type ProxyState =
  | { readonly status: 'none' }
  | { readonly status: 'active' | 'revoked'; readonly name: string; readonly tokenHash: string };

export const initialProxy: ProxyState = { status: 'none' };

/** Folds one fact into the state. */
export const evolveProxy = (state: ProxyState, { type, data }: Fact<ProxyEvent>): ProxyState => {
  if (type === 'ProxyRegistered') return { status: 'active', ...data };
  if (state.status === 'none') return state;
  switch (type) {
    case 'ProxyTokenReplaced':
      return { ...state, status: 'active', tokenHash: data.tokenHash };
    case 'ProxyRevoked':
      return { ...state, status: 'revoked' };
    default:
      return never(type);
  }
};
