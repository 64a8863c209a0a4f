/**
 * Fills a table of verdicts and tells what it holds resident, a process of its own. Started by bench/proxy/table.ts.
 */
import { readFileSync } from 'node:fs';
import { openTable, type Verdict } from '../../proxy/table.ts';

/** Bytes are per device. */
export interface TableFigures {
  readonly residentBytes: number;
  readonly changedResidentBytes: number;
  readonly ownBytes: number | null;
  readonly filledPerSecond: number;
  readonly foundPerSecond: number;
}

interface Store {
  readonly upsert: (verdict: Verdict) => unknown;
  readonly find: (easId: string) => readonly Verdict[];
  readonly sizeBytes: () => number | null;
}

const packed = (): Store => {
  const table = openTable();
  return { upsert: table.upsert, find: (easId) => table.find([easId]), sizeBytes: table.sizeBytes };
};

/** By EAS id, and by the id of the device, as a plain table would be. */
const map = (): Store => {
  const byEasId = new Map<string, Verdict[]>();
  const byDevice = new Map<string, Verdict>();
  return {
    upsert: (verdict) => {
      byDevice.set(verdict.deviceId, verdict);
      byEasId.set(verdict.easDeviceId as string, [verdict]);
    },
    find: (easId) => byEasId.get(easId) ?? [],
    sizeBytes: () => null,
  };
};

/** What phones call themselves: iOS, Android's own app, Outlook and Windows. */
const easIdOf = (index: number): string => {
  const digits = index.toString(16).toUpperCase().padStart(8, '0');
  return [`O868AML7V92IV8TJ32${digits}`, `ANDROIDC${index}`, `796ACD8C41B7E0D2F95A3C60${digits}`][
    index % 3
  ] as string;
};

/** As Muster makes them, but in no time. */
const deviceIdOf = (index: number): string => `dev01${index.toString(16).padStart(24, '0')}`;

/** Reasons name the policy and what is wrong, so that there are some hundreds of them. */
const verdictOf = (index: number, position: number): Verdict => ({
  deviceId: deviceIdOf(index),
  easDeviceId: easIdOf(index),
  userEmail: `firstname.lastname${index}@contoso.example`,
  access: position % 50 === 0 ? 'deny' : 'allow',
  reason: position % 50 === 0 ? `The system is older than 17.${position % 300}.` : 'The device is compliant.',
  position,
});

const residentBytes = (): number => {
  for (let round = 0; round < 3; round += 1) globalThis.gc?.();
  return Number(/^Pss_Anon:\s+(\d+) kB/m.exec(readFileSync('/proc/self/smaps_rollup', 'utf8'))?.[1]) * 1024;
};

const perSecond = (count: number, act: () => void): number => {
  const startedAt = performance.now();
  act();
  return (count / (performance.now() - startedAt)) * 1_000;
};

const [kind, count] = process.argv.slice(2);
const devices = Number(count);
const store = kind === 'packed' ? packed() : map();
const fill = (from: number, to: number, position: number): void => {
  for (let index = from; index < to; index += 1) store.upsert(verdictOf(index, position + index));
};
// What a process needs however many devices there are, the engine's room for short-lived objects above all, is there
// after the first tenth: the rest shows what a device costs.
const first = devices / 10;
fill(0, first, 0);
const before = residentBytes();
const filledPerSecond = perSecond(devices - first, () => fill(first, devices, 0));
const filled = residentBytes();
const ownBytes = store.sizeBytes();
let found = 0;
const lookUps = Math.min(devices, 500_000);
const foundPerSecond = perSecond(lookUps, () => {
  for (let index = 0; index < lookUps; index += 1)
    found += store.find(easIdOf((index * 7_919) % devices)).length;
});
if (found < lookUps) throw new Error(`only ${found} of ${lookUps} were found`);
fill(0, devices, devices);
const changed = residentBytes();
process.send?.({
  residentBytes: (filled - before) / (devices - first),
  changedResidentBytes: (changed - before) / (devices - first),
  ownBytes: ownBytes === null ? null : ownBytes / devices,
  filledPerSecond,
  foundPerSecond,
} satisfies TableFigures);
process.once('disconnect', () => process.exit());
