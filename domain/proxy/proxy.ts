/**
 * Facts and state of a registered EAS proxy: the certificate with which an instance of `muster proxy` follows its
 * tenant's mail verdicts. Decided by decide.ts beside this file; read by projections/proxies.ts.
 */
import { z } from 'zod';
import { defineEvents, type EventOf, type Fact, never } from '../decider.ts';
import { name } from '../text.ts';

/** SHA-256, hex. */
export const digest = z.string().regex(/^[0-9a-f]{64}$/);

export const proxyEvents = defineEvents(
  'proxy',
  {
    /** `certificateSha256` is of the certificate's DER; null: registered when proxies had tokens, which are no more. */
    ProxyRegistered: z.strictObject({ name, certificateSha256: digest.nullable() }),
    ProxyRenamed: z.strictObject({ name }),
    /** Of the time of tokens; nothing follows from it any more. */
    ProxyTokenReplaced: z.strictObject({ tokenHash: digest }),
    /** Whether the proxy said that it verifies the server's certificate. */
    ProxyServerTrustReported: z.strictObject({ verifiesServer: z.boolean() }),
    ProxyRevoked: z.strictObject({}),
  },
  { ProxyRegistered: [({ name: given }) => ({ name: given, certificateSha256: null })] },
);

export type ProxyEvent = EventOf<typeof proxyEvents>;

export type ProxyState =
  | { readonly status: 'none' }
  | {
      readonly status: 'active' | 'revoked';
      readonly name: string;
      readonly certificateSha256: string | null;
      /** null until it was heard for the first time. */
      readonly verifiesServer: boolean | null;
    };

export const initialProxy: ProxyState = { status: 'none' };

/** Folds one fact into the state. */
export const evolveProxy = (state: ProxyState, { type, data }: Fact<ProxyEvent>): ProxyState => {
  if (type === 'ProxyRegistered') return { status: 'active', ...data, verifiesServer: null };
  if (state.status === 'none') return state;
  switch (type) {
    case 'ProxyRenamed':
      return { ...state, name: data.name };
    case 'ProxyTokenReplaced':
      return state;
    case 'ProxyServerTrustReported':
      return { ...state, verifiesServer: data.verifiesServer };
    case 'ProxyRevoked':
      return { ...state, status: 'revoked' };
    default:
      return never(type);
  }
};
