/** Specifications of the decider of registered EAS proxies. */
import { test } from 'node:test';
import { proxyDecider } from '../../../domain/proxy/decide.ts';
import { casesOf } from '../../support/given.ts';
import { digestOf } from '../../support/ids.ts';

const registered = { type: 'ProxyRegistered', data: { name: 'edge', tokenHash: digestOf('a') } } as const;
const revoked = { type: 'ProxyRevoked', data: {} } as const;
const replaced = { type: 'ProxyTokenReplaced', data: { tokenHash: digestOf('b') } } as const;

const cases = casesOf(proxyDecider, {
  RegisterProxy: {
    accepts: [
      {
        given: [],
        when: { type: 'RegisterProxy', name: 'edge', tokenHash: digestOf('a') },
        events: [registered],
      },
    ],
    refuses: [
      {
        given: [registered],
        when: { type: 'RegisterProxy', name: 'edge', tokenHash: digestOf('b') },
        refused: 'name-taken',
      },
    ],
  },
  ReplaceProxyToken: {
    accepts: [
      {
        given: [registered],
        when: { type: 'ReplaceProxyToken', tokenHash: digestOf('b') },
        events: [replaced],
      },
      {
        given: [registered, revoked],
        when: { type: 'ReplaceProxyToken', tokenHash: digestOf('b') },
        events: [replaced],
      },
    ],
    refuses: [
      {
        given: [],
        when: { type: 'ReplaceProxyToken', tokenHash: digestOf('b') },
        refused: 'proxy-missing',
      },
    ],
  },
  RevokeProxy: {
    accepts: [{ given: [registered], when: { type: 'RevokeProxy' }, events: [revoked] }],
    refuses: [{ given: [], when: { type: 'RevokeProxy' }, refused: 'proxy-missing' }],
  },
});

for (const [name, run] of cases) test(name, run);
