/**
 * Commands and decisions of an API key. Called through platform/handle.ts by api/graphql/api-key.ts.
 */
import type { Permission } from '../account/permissions.ts';
import type { Decider, Decision } from '../decider.ts';
import { refuse } from '../refusals.ts';
import { type ApiKeyEvent, type ApiKeyState, apiKeyEvents, evolveApiKey, initialApiKey } from './api-key.ts';

export type ApiKeyCommand =
  | {
      readonly type: 'CreateApiKey';
      readonly name: string;
      readonly permissions: readonly Permission[];
      readonly expiresAt: string;
      readonly tokenHash: string;
      readonly now: string;
    }
  | { readonly type: 'RevokeApiKey' };

/** Decides one command: see the refusals it names. */
export const decideApiKey = (command: ApiKeyCommand, state: ApiKeyState): Decision<ApiKeyEvent> => {
  if (command.type === 'CreateApiKey') {
    const { name, expiresAt, tokenHash, now } = command;
    if (state.status !== 'none') return state.tokenHash === tokenHash ? [] : refuse('name-taken');
    if (expiresAt <= now) return refuse('api-key-expired', { field: 'expiresAt' });
    const permissions = [...new Set(command.permissions)].sort();
    return [{ type: 'ApiKeyCreated', data: { name, permissions, expiresAt, tokenHash } }];
  }
  if (state.status === 'none') return refuse('api-key-missing', { field: 'apiKeyId' });
  return state.status === 'revoked' ? [] : [{ type: 'ApiKeyRevoked', data: {} }];
};

export const apiKeyDecider: Decider<ApiKeyState, ApiKeyCommand, ApiKeyEvent> = {
  events: apiKeyEvents,
  stateVersion: 1,
  initial: initialApiKey,
  evolve: evolveApiKey,
  decide: decideApiKey,
};
