/** Every compliance rule at its boundaries: satisfied or violated, why, since when, due when. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DeviceFacts, Outcome } from '../../../domain/compliance/rule.ts';
import { type RuleName, ruleNames, ruleOf, rules } from '../../../domain/compliance/rules/index.ts';
import { violation } from '../../../domain/compliance/verdict.ts';
import type { Inventory } from '../../../domain/device/inventory.ts';

const now = '2026-03-01T12:00:00.000Z';
const device = (over: Partial<DeviceFacts> = {}): DeviceFacts => ({
  platform: 'android',
  managed: true,
  inventory: {},
  apps: {},
  appsKnown: true,
  lastCheckInAt: now,
  ...over,
});
const having = (inventory: Inventory, platform: DeviceFacts['platform'] = 'android') =>
  device({ inventory, platform });
const withApps = (...ids: string[]) =>
  device({ apps: Object.fromEntries(ids.map((id) => [id, { name: id, version: '1' }])) });
const ok: Outcome = { violated: false };
const why = (sentence: string): Outcome => ({ violated: true, why: sentence });
const version = (value: string) => ({ version: value });
const listing = (...appIds: string[]) => ({ appIds });
const gap = (minutes: number) => ({ minutes });
const silentSince = (lastCheckInAt: string | null) => device({ lastCheckInAt });
const osUnknown = why('The operating system version was not reported.');
const appsUnknown = why('The installed apps were not reported.');

const rows: Record<RuleName, [DeviceFacts, Record<string, unknown>, Outcome][]> = {
  managed: [
    [device(), {}, ok],
    [device({ managed: false }), {}, why('The device is not managed.')],
  ],
  'minimum-os-version': [
    [having({ osVersion: '17.4' }), version('17.4'), ok],
    [having({ osVersion: '17.4.0' }), version('17.4'), ok],
    [having({ osVersion: '17.10' }), version('17.9'), ok],
    [having({ osVersion: '10.0.22631' }), version('10.0.19045.4'), ok],
    [
      having({ osVersion: '17.3.9' }),
      version('17.4'),
      why('The operating system is 17.3.9; the minimum is 17.4.'),
    ],
    [having({ osVersion: 'beta' }), version('1'), why('The operating system is beta; the minimum is 1.')],
    [having({}), version('1'), osUnknown],
    [having({ osVersion: null }), version('1'), osUnknown],
  ],
  'maximum-os-version': [
    [having({ osVersion: '17' }), version('17'), ok],
    [having({ osVersion: '17.9.9' }), version('17'), ok],
    [having({ osVersion: '17.4.1' }), version('17.4'), ok],
    [having({ osVersion: '16' }), version('17.4'), ok],
    [
      having({ osVersion: '17.5' }),
      version('17.4'),
      why('The operating system is 17.5; the maximum is 17.4.'),
    ],
    [having({ osVersion: '18.0' }), version('17'), why('The operating system is 18.0; the maximum is 17.')],
    [having({}), version('17'), osUnknown],
  ],
  'not-rooted': [
    [having({ rooted: false }), {}, ok],
    [having({ rooted: true }), {}, why('The device is rooted.')],
    [having({ rooted: true }, 'ios'), {}, why('The device is jailbroken.')],
    [having({}), {}, why('The device did not report whether it is rooted.')],
    [having({ rooted: null }, 'ios'), {}, why('The device did not report whether it is jailbroken.')],
  ],
  'screen-lock': [
    [having({ screenLock: true }), {}, ok],
    [having({ screenLock: false }), {}, why('No screen lock is set.')],
    [having({ screenLock: null }), {}, why('The screen lock was not reported.')],
    [having({}), {}, why('The screen lock was not reported.')],
  ],
  encryption: [
    [having({ encrypted: true }), {}, ok],
    [having({ encrypted: false }), {}, why('The storage is not encrypted.')],
    [having({}), {}, why('Encryption was not reported.')],
  ],
  'mandatory-apps': [
    [withApps('a', 'b'), listing('a'), ok],
    [withApps('a'), listing('a', 'b', 'c'), why('Not installed: b, c.')],
    [withApps(), listing('constructor'), why('Not installed: constructor.')],
    [device({ appsKnown: false }), listing('a'), appsUnknown],
  ],
  'forbidden-apps': [
    [withApps('a'), listing('b', 'toString'), ok],
    [withApps('a', 'b', 'c'), listing('c', 'a'), why('Installed: c, a.')],
    [device({ appsKnown: false }), listing('a'), appsUnknown],
  ],
  'maximum-sync-gap': [
    [silentSince(now), gap(60), { violated: false, dueAt: '2026-03-01T13:00:00.000Z' }],
    [
      silentSince('2026-03-01T11:00:00.001Z'),
      gap(60),
      { violated: false, dueAt: '2026-03-01T12:00:00.001Z' },
    ],
    [
      silentSince('2026-03-01T11:00:00.000Z'),
      gap(60),
      { violated: true, why: 'The device has not synced for more than 60 minutes.', since: now },
    ],
    [silentSince(null), gap(60), why('The device has never synced.')],
  ],
};

for (const name of ruleNames) {
  test(`${name}: boundaries`, () => {
    const rule = ruleOf(name);
    for (const [facts, parameters, outcome] of rows[name]) {
      assert.ok(rule.parameters.safeParse(parameters).success);
      assert.deepEqual(rule.check(facts, parameters, now), outcome);
    }
  });
}

test('every rule: unknown parameters are refused, and its file is in the registry', () => {
  assert.equal(new Set(ruleNames).size, rules.length);
  for (const rule of rules) {
    const [, parameters] = rows[rule.name][0] as [DeviceFacts, Record<string, unknown>, Outcome];
    assert.ok(!rule.parameters.safeParse({ ...parameters, extra: 1 }).success, rule.name);
    assert.ok(rule.platforms.length > 0 && rule.title.length > 0);
  }
});

test('the longest sentence that a rule can say can be stored', () => {
  const appIds = Array.from({ length: 500 }, (_, index) => String(index).padEnd(200, 'x'));
  for (const [name, facts] of [
    ['mandatory-apps', withApps()],
    ['forbidden-apps', withApps(...appIds)],
  ] as const) {
    const outcome = ruleOf(name).check(facts, { appIds }, now);
    assert.ok(outcome.violated);
    assert.match(outcome.why, / and 490 more\.$/);
    assert.ok(violation.shape.why.safeParse(outcome.why).success);
  }
});
