/**
 * Facts and state of an API key: a tenant's credential for programs, with permissions of its own and an end.
 * Decided by decide.ts beside this file; read by projections/api-keys.ts.
 */
import { z } from 'zod';
import { type Permission, permission } from '../account/permissions.ts';
import { defineEvents, type EventOf, type Fact, never } from '../decider.ts';
import { digest } from '../proxy/proxy.ts';
import { name, time } from '../text.ts';

export const apiKeyEvents = defineEvents('api-key', {
  ApiKeyCreated: z.strictObject({
    name,
    permissions: z.array(permission).min(1),
    expiresAt: time,
    tokenHash: digest,
  }),
  ApiKeyRevoked: z.strictObject({}),
});

export type ApiKeyEvent = EventOf<typeof apiKeyEvents>;

export type ApiKeyState =
  | { readonly status: 'none' }
  | {
      readonly status: 'active' | 'revoked';
      readonly name: string;
      readonly permissions: readonly Permission[];
      readonly expiresAt: string;
      readonly tokenHash: string;
    };

export const initialApiKey: ApiKeyState = { status: 'none' };

/** Folds one fact into the state. */
export const evolveApiKey = (state: ApiKeyState, { type, data }: Fact<ApiKeyEvent>): ApiKeyState => {
  if (type === 'ApiKeyCreated') return { status: 'active', ...data };
  if (state.status === 'none') return state;
  switch (type) {
    case 'ApiKeyRevoked':
      return { ...state, status: 'revoked' };
    default:
      return never(type);
  }
};
