/**
 * Memory of the EAS proxy's table of verdicts at a million devices, and what looking up costs, against a Map of objects
 * with the same content; each in a process of its own, one after the other. Called by bench/main.ts. Linux only, for /proc
 * says what is resident.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { figureRow, heading, rateRow } from '../report.ts';
import type { TableFigures } from './table-filler.ts';

const devices = 1_000_000;

const measure = async (kind: 'packed' | 'map'): Promise<TableFigures> => {
  const child = fork(join(import.meta.dirname, 'table-filler.ts'), [kind, String(devices)], {
    execArgv: ['--import', 'tsx', '--expose-gc'],
  });
  const [figures] = (await once(child, 'message')) as [TableFigures];
  child.disconnect();
  return figures;
};

/** Measures and prints. */
export const benchProxyTable = async (): Promise<void> => {
  heading(`EAS proxy: the table of verdicts, ${devices} devices`);
  const map = await measure('map');
  const packed = await measure('packed');
  const against = (value: number): string => `${(value / map.residentBytes).toFixed(2)} x Map of objects`;
  figureRow('Map of objects, resident', map.residentBytes, 'bytes a device');
  figureRow(
    'table, resident',
    packed.residentBytes,
    `bytes a device  ${against(packed.residentBytes)} (target 128 bytes)`,
  );
  figureRow('table, as it counts itself', packed.ownBytes ?? Number.NaN, 'bytes a device');
  figureRow(
    'table, resident, after each verdict changed once',
    packed.changedResidentBytes,
    `bytes a device  ${against(packed.changedResidentBytes)}`,
  );
  rateRow('Map of objects, filled', map.filledPerSecond);
  rateRow('table, filled', packed.filledPerSecond);
  rateRow('Map of objects, looked up', map.foundPerSecond);
  rateRow('table, looked up', packed.foundPerSecond);
};
