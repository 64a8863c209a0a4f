/**
 * The people of the demo and their devices. Called by story.ts.
 */
import type { Appearance } from '../simulated-device.ts';

/** A person with a device. */
export interface Person {
  readonly email: string;
  readonly easDeviceId: string;
  readonly looks: Appearance;
}

const apps = [{ id: 'com.example.mail', name: 'Mail', version: '4.2.0' }];

const person = (
  email: string,
  platform: Appearance['platform'],
  name: string,
  model: string,
  osVersion: string,
  easDeviceId: string,
): Person => ({
  email,
  easDeviceId,
  looks: {
    platform,
    name,
    inventory: { model, osVersion, easDeviceId, rooted: false, screenLock: true, encrypted: true },
    apps,
  },
});

/** Three people; the third one's Android is the oldest. */
export const people: readonly Person[] = [
  person('ana@contoso.example', 'ios', 'Ana’s iPhone', 'iPhone 17', '26.1', 'O868AML7V92IV8TJ3242QK357S'),
  person('ben@contoso.example', 'android', 'Ben’s Pixel', 'Pixel 10', '16', 'androidc195792594'),
  person('carla@contoso.example', 'android', 'Carla’s Galaxy', 'Galaxy A54', '14', 'SEC1A2B3C4D5E6F70'),
];
