/** Specifications of the decider of registered EAS proxies. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readEventData } from '../../../domain/events.ts';
import { proxyDecider } from '../../../domain/proxy/decide.ts';
import { casesOf } from '../../support/given.ts';
import { digestOf } from '../../support/ids.ts';

const registered = {
  type: 'ProxyRegistered',
  data: { name: 'edge', certificateSha256: digestOf('a') },
} as const;
const revoked = { type: 'ProxyRevoked', data: {} } as const;
const renamed = { type: 'ProxyRenamed', data: { name: 'gate' } } as const;
const reported = { type: 'ProxyServerTrustReported', data: { verifiesServer: false } } as const;
const register = (letter: string) =>
  ({ type: 'RegisterProxy', name: 'edge', certificateSha256: digestOf(letter) }) as const;

const cases = casesOf(proxyDecider, {
  RegisterProxy: {
    accepts: [{ given: [], when: register('a'), events: [registered] }],
    refuses: [{ given: [registered], when: register('b'), refused: 'name-taken' }],
  },
  RenameProxy: {
    accepts: [{ given: [registered], when: { type: 'RenameProxy', name: 'gate' }, events: [renamed] }],
    refuses: [{ given: [], when: { type: 'RenameProxy', name: 'gate' }, refused: 'proxy-missing' }],
  },
  ReportServerTrust: {
    accepts: [
      {
        given: [registered],
        when: { type: 'ReportServerTrust', verifiesServer: false },
        events: [reported],
      },
    ],
    refuses: [
      { given: [], when: { type: 'ReportServerTrust', verifiesServer: true }, refused: 'proxy-missing' },
    ],
  },
  RevokeProxy: {
    accepts: [{ given: [registered], when: { type: 'RevokeProxy' }, events: [revoked] }],
    refuses: [{ given: [], when: { type: 'RevokeProxy' }, refused: 'proxy-missing' }],
  },
});

for (const [name, run] of cases) test(name, run);

test('a registration of the time of tokens reads as one without a certificate', () => {
  assert.deepEqual(readEventData('proxy', 'ProxyRegistered', 1, { name: 'edge', tokenHash: digestOf('a') }), {
    name: 'edge',
    certificateSha256: null,
  });
});
