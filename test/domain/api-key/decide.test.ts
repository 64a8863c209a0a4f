/** Specifications of the API key decider. */
import { test } from 'node:test';
import { apiKeyDecider } from '../../../domain/api-key/decide.ts';
import { casesOf } from '../../support/given.ts';
import { digestOf } from '../../support/ids.ts';

const now = '2026-01-01T00:00:00.000Z';
const data = { name: 'Reports', expiresAt: '2026-04-01T00:00:00.000Z', tokenHash: digestOf('a') } as const;
const create = { type: 'CreateApiKey', ...data, permissions: ['group.read', 'device.read'], now } as const;
const created = {
  type: 'ApiKeyCreated',
  data: { ...data, permissions: ['device.read', 'group.read'] as ('device.read' | 'group.read')[] },
} as const;
const revoked = { type: 'ApiKeyRevoked', data: {} } as const;

const cases = casesOf(apiKeyDecider, {
  CreateApiKey: {
    accepts: [{ given: [], when: create, events: [created] }],
    refuses: [
      { given: [], when: { ...create, expiresAt: now }, refused: 'api-key-expired', field: 'expiresAt' },
      { given: [created], when: { ...create, tokenHash: digestOf('b') }, refused: 'name-taken' },
    ],
  },
  RevokeApiKey: {
    accepts: [{ given: [created], when: { type: 'RevokeApiKey' }, events: [revoked] }],
    refuses: [{ given: [], when: { type: 'RevokeApiKey' }, refused: 'api-key-missing', field: 'apiKeyId' }],
  },
});

for (const [title, run] of cases) test(title, run);
