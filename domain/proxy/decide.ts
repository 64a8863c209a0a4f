/**
 * Commands and decisions of a registered EAS proxy. Called through platform/handle.ts by api/graphql/proxy.ts.
 */
import { type Decider, type Decision, never } from '../decider.ts';
import { refuse } from '../refusals.ts';
import { evolveProxy, initialProxy, type ProxyEvent, type ProxyState, proxyEvents } from './proxy.ts';

export type ProxyCommand =
  | { readonly type: 'RegisterProxy'; readonly name: string; readonly tokenHash: string }
  | { readonly type: 'ReplaceProxyToken'; readonly tokenHash: string }
  | { readonly type: 'RevokeProxy' };

/** Decides one command: see the refusals it names. */
export const decideProxy = (command: ProxyCommand, state: ProxyState): Decision<ProxyEvent> => {
  if (command.type === 'RegisterProxy') {
    const { type: _, ...data } = command;
    if (state.status === 'none') return [{ type: 'ProxyRegistered', data }];
    return state.tokenHash === data.tokenHash ? [] : refuse('name-taken');
  }
  if (state.status === 'none') return refuse('proxy-missing');
  switch (command.type) {
    case 'ReplaceProxyToken':
      return state.tokenHash === command.tokenHash && state.status === 'active'
        ? []
        : [{ type: 'ProxyTokenReplaced', data: { tokenHash: command.tokenHash } }];
    case 'RevokeProxy':
      return state.status === 'revoked' ? [] : [{ type: 'ProxyRevoked', data: {} }];
    default:
      return never(command);
  }
};

export const proxyDecider: Decider<ProxyState, ProxyCommand, ProxyEvent> = {
  events: proxyEvents,
  stateVersion: 1,
  initial: initialProxy,
  evolve: evolveProxy,
  decide: decideProxy,
};
