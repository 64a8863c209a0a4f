/**
 * Takes an uploaded file, says what importing it would do, and keeps it until it is imported. Called by
 * api/admin/main.ts (REST) and api/graphql/import.ts.
 */
import type { ImportId, TenantId } from '../../domain/ids.ts';
import { mostRows } from '../../domain/import/import.ts';
import { type Judged, judgeDevices, judgeUsers } from '../../domain/import/judge.ts';
import {
  columnNames,
  type DeviceRowInput,
  type Heading,
  type RowFault,
  readHeading,
  type UserRow,
} from '../../domain/import/rows.ts';
import { readCsv, type Table } from '../../platform/csv.ts';
import type { Deps } from '../../platform/deps.ts';
import { describeCode, MusterError } from '../../platform/errors.ts';
import { newId } from '../../platform/new-id.ts';
import type { ImportOptions } from '../../platform/uploads.ts';
import { findDevicesBySerial } from '../../projections/devices.ts';
import { findGroupsByName } from '../../projections/groups.ts';
import { sortKey } from '../../projections/projection.ts';
import { findUsersByEmail } from '../../projections/users.ts';

/** What is wrong with a row; `advice` says what to do. */
export interface PreviewFault extends RowFault {
  readonly row: number;
  readonly advice: string;
}

/** What an import would do, as far as it can be known before. */
export interface Preview {
  readonly importId: ImportId;
  readonly rows: number;
  /** Column → its header in the file; headers that mean nothing. */
  readonly columns: readonly string[];
  readonly ignored: readonly string[];
  readonly delimiter: string;
  readonly create: number;
  readonly update: number;
  readonly skip: number;
  readonly fail: number;
  /** The first `mostFaults`. */
  readonly faults: readonly PreviewFault[];
}

const mostFaults = 1000;
const lookedUpAtOnce = 1000;

type Outcome = 'create' | 'existing' | RowFault;

const inPieces = async <Value>(
  keys: readonly string[],
  find: (piece: readonly string[]) => Promise<ReadonlyMap<string, Value>>,
): Promise<ReadonlyMap<string, Value>> => {
  const found = new Map<string, Value>();
  for (let from = 0; from < keys.length; from += lookedUpAtOnce)
    for (const [key, value] of await find(keys.slice(from, from + lookedUpAtOnce))) found.set(key, value);
  return found;
};

const valuesOf = <Value>(judged: readonly Judged<Value>[]): Value[] =>
  judged.flatMap((row) => ('value' in row ? [row.value] : []));

const judgedUsers = async (
  { sql }: Deps,
  tenantId: TenantId,
  judged: readonly Judged<UserRow>[],
): Promise<(value: UserRow) => Outcome> => {
  const emails = valuesOf(judged).map(({ email }) => email);
  const known = await inPieces(emails, (piece) => findUsersByEmail(sql, tenantId, piece));
  return ({ email }) => (known.has(email) ? 'existing' : 'create');
};

const judgedDevices = async (
  { sql }: Deps,
  tenantId: TenantId,
  judged: readonly Judged<DeviceRowInput>[],
): Promise<(value: DeviceRowInput) => Outcome> => {
  const values = valuesOf(judged);
  const keys = (of: (value: DeviceRowInput) => string | null) => [
    ...new Set(values.flatMap((value) => of(value) ?? []).map(sortKey)),
  ];
  const serials = keys(({ serialNumber }) => serialNumber);
  const devices = await inPieces(serials, (piece) => findDevicesBySerial(sql, tenantId, piece));
  const names = keys(({ group }) => group);
  const groups = await inPieces(names, (piece) => findGroupsByName(sql, tenantId, piece));
  return ({ group, serialNumber }) => {
    if (group !== null && !groups.has(sortKey(group)))
      return { column: 'group', code: 'group-missing', detail: 'there is none of that name' };
    return serialNumber !== null && devices.has(sortKey(serialNumber)) ? 'existing' : 'create';
  };
};

const existingFault = ({ kind }: ImportOptions): RowFault =>
  kind === 'users'
    ? { column: 'email', code: 'user-exists', detail: 'there is a user of that address' }
    : { column: 'serial number', code: 'device-exists', detail: 'there is a device of that number' };

const count = <Value>(
  judged: readonly Judged<Value>[],
  outcomeOf: (value: Value) => Outcome,
  options: ImportOptions,
): Pick<Preview, 'create' | 'update' | 'skip' | 'fail' | 'faults'> => {
  const counts = { create: 0, update: 0, skip: 0, fail: 0 };
  const faults: PreviewFault[] = [];
  const fail = (row: number, found: readonly RowFault[]) => {
    counts.fail += 1;
    for (const fault of found.slice(0, mostFaults - faults.length))
      faults.push({ ...fault, row, advice: describeCode(fault.code).advice });
  };
  for (const each of judged) {
    const outcome = 'value' in each ? outcomeOf(each.value) : undefined;
    if ('faults' in each) fail(each.row, each.faults);
    else if (typeof outcome === 'object') fail(each.row, [outcome]);
    else if (outcome === 'create') counts.create += 1;
    else if (options.mode === 'create') fail(each.row, [existingFault(options)]);
    else counts[options.mode] += 1;
  }
  return { ...counts, faults };
};

const judgeTable = async (
  deps: Deps,
  tenantId: TenantId,
  options: ImportOptions,
  { header, rows }: Table,
  heading: Heading,
) => {
  if (options.kind === 'users') {
    const judged = judgeUsers(heading, header.length, rows);
    return count(judged, await judgedUsers(deps, tenantId, judged), options);
  }
  const judged = judgeDevices(heading, header.length, rows);
  return count(judged, await judgedDevices(deps, tenantId, judged), options);
};

/** Reads a file, says what would become of its rows, and keeps it under the id that `startImport` takes. */
export const previewImport = async (
  deps: Deps,
  tenantId: TenantId,
  options: ImportOptions,
  content: Buffer,
): Promise<Preview> => {
  const table = await readCsv(content, mostRows);
  const heading = readHeading(options.kind, table.header, options.mapping);
  if (typeof heading === 'string')
    throw new MusterError('invalid-csv', `${heading}; columns are ${columnNames(options.kind).join(', ')}`);
  const judged = await judgeTable(deps, tenantId, options, table, heading);
  const importId = newId('imp');
  await deps.uploads.save(tenantId, importId, { options, content });
  return {
    importId,
    rows: table.rows.length,
    columns: Object.keys(heading.positions),
    ignored: heading.ignored,
    delimiter: table.delimiter,
    ...judged,
  };
};
