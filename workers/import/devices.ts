/**
 * Carries out rows of devices: known ones are found by their serial number, groups by their name. Called by
 * run-import.ts.
 */
import type { DeviceCommand } from '../../domain/device/commands.ts';
import { deviceDecider } from '../../domain/device/decide.ts';
import type { DeviceId, GroupId } from '../../domain/ids.ts';
import type { RowResult } from '../../domain/import/import.ts';
import type { DeviceRowInput } from '../../domain/import/rows.ts';
import { isRefusal, type Refusal, refuse } from '../../domain/refusals.ts';
import { complianceInForce } from '../../platform/compliance-in-force.ts';
import { derivedId } from '../../platform/derived-id.ts';
import { findDevicesBySerial } from '../../projections/devices.ts';
import { findGroupsByName } from '../../projections/groups.ts';
import { sortKey } from '../../projections/projection.ts';
import { eachOf } from '../in-turn.ts';
import { untilProjected } from '../pages.ts';
import { type ImportRun, rowCause, rowDone, rowRefused, rowsAtOnce } from './run.ts';

interface Row {
  readonly row: number;
  readonly value: DeviceRowInput;
}

interface Known {
  readonly devices: ReadonlyMap<string, DeviceId>;
  readonly groups: ReadonlyMap<string, GroupId>;
}

const lookUp = async (rows: readonly Row[], { parts, origin }: ImportRun): Promise<Known> => {
  await untilProjected(parts, BigInt(origin.position));
  const { sql } = parts.deps;
  const keys = (of: (value: DeviceRowInput) => string | null) =>
    rows.flatMap(({ value }) => {
      const given = of(value);
      return given === null ? [] : [sortKey(given)];
    });
  return {
    devices: await findDevicesBySerial(
      sql,
      origin.tenantId,
      keys(({ serialNumber }) => serialNumber),
    ),
    groups: await findGroupsByName(
      sql,
      origin.tenantId,
      keys(({ group }) => group),
    ),
  };
};

/** What a row changes of a device that exists: what the file says nothing about stays. */
const changesOf = async (
  { value }: Row,
  groupId: GroupId | null,
  { columns, parts, origin }: ImportRun,
): Promise<((now: string) => DeviceCommand)[]> => {
  const compliance = await complianceInForce(parts.deps.handler, origin.tenantId, groupId, 0);
  return [
    () => ({ type: 'RenameDevice', name: value.name }),
    ...(columns.has('user e-mail')
      ? [(): DeviceCommand => ({ type: 'AssignDeviceUser', userEmail: value.userEmail })]
      : []),
    ...(columns.has('group')
      ? [(now: string): DeviceCommand => ({ type: 'JoinGroup', groupId, now, compliance })]
      : []),
  ];
};

const existing = async (
  given: Row,
  id: DeviceId,
  groupId: GroupId | null,
  run: ImportRun,
): Promise<RowResult> => {
  const { row, value } = given;
  const { handler } = run.parts.deps;
  if (run.mode === 'skip') return rowDone(row, 'skipped', id);
  if (run.mode === 'create') return rowRefused(row, refuse('device-exists'), 'serial number');
  const target = { tenantId: run.origin.tenantId, id };
  const { state } = await handler.load(deviceDecider, target);
  if (state.platform !== value.platform) {
    const detail = `the device is registered as ${state.platform}`;
    return rowRefused(row, refuse('platform-mismatch', { detail }), 'platform');
  }
  for (const [step, command] of (await changesOf(given, groupId, run)).entries()) {
    const cause = rowCause(run, row, `change-${step}`);
    const handled = await handler.handle(deviceDecider, target, command, cause);
    if (isRefusal(handled)) return rowRefused(row, handled);
  }
  return rowDone(row, 'updated', id);
};

const groupOf = (group: string | null, { groups }: Known): GroupId | null | Refusal => {
  if (group === null) return null;
  return groups.get(sortKey(group)) ?? refuse('group-missing', { detail: 'there is none of that name' });
};

const carryOut = async (given: Row, known: Known, run: ImportRun): Promise<RowResult> => {
  const { row, value } = given;
  const { group, serialNumber, ...rest } = value;
  const groupId = groupOf(group, known);
  if (isRefusal(groupId)) return rowRefused(row, groupId, 'group');
  const id = derivedId('dev', run.requestedAt, `${run.importId}/${row}`);
  const found = serialNumber === null ? undefined : known.devices.get(sortKey(serialNumber));
  // One that an earlier run of this very row registered is no other device.
  if (found !== undefined && found !== id) return existing(given, found, groupId, run);
  const handled = await run.parts.deps.handler.handle(
    deviceDecider,
    { tenantId: run.origin.tenantId, id },
    { type: 'RegisterDevice', ...rest, groupId, serialNumber },
    rowCause(run, row, 'register'),
  );
  return isRefusal(handled) ? rowRefused(row, handled) : rowDone(row, 'created', id);
};

/** Carries out rows, some at once; answers one result for each. */
export const importDevices = async (rows: readonly Row[], run: ImportRun): Promise<RowResult[]> => {
  const known = await lookUp(rows, run);
  const results: RowResult[] = [];
  await eachOf(rows, rowsAtOnce, async (given) => {
    results.push(await carryOut(given, known, run));
  });
  return results;
};
