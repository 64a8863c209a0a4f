/**
 * Commands and decisions of a registered EAS proxy. Called through platform/handle.ts by api/graphql/proxy.ts and by
 * the feed that proxies follow.
 */
import { type Decider, type Decision, never } from '../decider.ts';
import { refuse } from '../refusals.ts';
import { evolveProxy, initialProxy, type ProxyEvent, type ProxyState, proxyEvents } from './proxy.ts';

export type ProxyCommand =
  | { readonly type: 'RegisterProxy'; readonly name: string; readonly certificateSha256: string }
  | { readonly type: 'RenameProxy'; readonly name: string }
  | { readonly type: 'ReportServerTrust'; readonly verifiesServer: boolean }
  | { readonly type: 'RevokeProxy' };

/** Decides one command: see the refusals it names. */
export const decideProxy = (command: ProxyCommand, state: ProxyState): Decision<ProxyEvent> => {
  if (command.type === 'RegisterProxy') {
    const { type: _, ...data } = command;
    if (state.status === 'none') return [{ type: 'ProxyRegistered', data }];
    return state.certificateSha256 === data.certificateSha256 ? [] : refuse('name-taken');
  }
  if (state.status === 'none') return refuse('proxy-missing');
  switch (command.type) {
    case 'RenameProxy':
      return state.name === command.name ? [] : [{ type: 'ProxyRenamed', data: { name: command.name } }];
    case 'ReportServerTrust': {
      const { verifiesServer } = command;
      return state.verifiesServer === verifiesServer
        ? []
        : [{ type: 'ProxyServerTrustReported', data: { verifiesServer } }];
    }
    case 'RevokeProxy':
      return state.status === 'revoked' ? [] : [{ type: 'ProxyRevoked', data: {} }];
    default:
      return never(command);
  }
};

export const proxyDecider: Decider<ProxyState, ProxyCommand, ProxyEvent> = {
  events: proxyEvents,
  stateVersion: 2,
  initial: initialProxy,
  evolve: evolveProxy,
  decide: decideProxy,
};
