/**
 * Judges the rows of a whole table: each is a value or has faults; of rows about the same, the first counts. Pure;
 * called for the preview and by the job, which so agree.
 */
import {
  type DeviceRowInput,
  type Heading,
  type RowFault,
  readDeviceRow,
  readUserRow,
  type UserRow,
} from './rows.ts';

/** A row that can be carried out, or what is wrong with it. */
export type Judged<Value> =
  | { readonly row: number; readonly value: Value }
  | { readonly row: number; readonly faults: readonly RowFault[] };

interface Cells {
  readonly row: number;
  readonly cells: readonly string[];
}

/** `same.of`: the value by which a row is about the same as another; null: about nothing else. */
const judge = <Value extends object>(
  heading: Heading,
  width: number,
  rows: readonly Cells[],
  read: (heading: Heading, cells: readonly string[]) => Value | readonly RowFault[],
  same: { readonly column: string; readonly of: (value: Value) => string | null },
): Judged<Value>[] => {
  const first = new Map<string, number>();
  return rows.map(({ row, cells }) => {
    if (cells.length > width) {
      const detail = `has ${cells.length} cells; the header has ${width}`;
      return { row, faults: [{ column: null, code: 'invalid-input', detail }] };
    }
    const value = read(heading, cells);
    if (Array.isArray(value)) return { row, faults: value as readonly RowFault[] };
    const key = same.of(value as Value);
    const earlier = key === null ? undefined : first.get(key);
    if (earlier !== undefined) {
      const detail = `row ${earlier} is about the same`;
      return { row, faults: [{ column: same.column, code: 'duplicate-row', detail }] };
    }
    if (key !== null) first.set(key, row);
    return { row, value: value as Value };
  });
};

/** Rows of users, told apart by their e-mail. */
export const judgeUsers = (heading: Heading, width: number, rows: readonly Cells[]): Judged<UserRow>[] =>
  judge(heading, width, rows, readUserRow, { column: 'email', of: ({ email }) => email });

/** Rows of devices, told apart by their serial number if they have one. */
export const judgeDevices = (
  heading: Heading,
  width: number,
  rows: readonly Cells[],
): Judged<DeviceRowInput>[] =>
  judge(heading, width, rows, readDeviceRow, {
    column: 'serial number',
    of: ({ serialNumber }) => serialNumber?.normalize('NFC').toLowerCase() ?? null,
  });
