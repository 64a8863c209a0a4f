/**
 * What the rows of an import mean: columns by name, values by schema, one complaint per column. Pure; called for the
 * preview and again by the job that works the file off, so that both judge alike.
 */
import { z } from 'zod';
import type { RefusalCode } from '../refusals.ts';
import { email, line, name, ownership, platform } from '../text.ts';
import { userDetails } from '../user/user.ts';
import type { ImportKind } from './import.ts';

/** A column: its schema, and the headers by which it is known besides its own name. */
interface Column {
  readonly schema: z.ZodType;
  readonly required: boolean;
  readonly also: readonly string[];
}

const column = (schema: z.ZodType, required: boolean, ...also: readonly string[]): Column => ({
  schema,
  required,
  also,
});

const lower = <Schema extends z.ZodType>(schema: Schema) =>
  z.preprocess((value) => (typeof value === 'string' ? value.toLowerCase() : value), schema);

const columns = {
  users: {
    email: column(email, true, 'e-mail', 'mail', 'email address', 'e-mail address', 'user e-mail'),
    name: column(name, true, 'full name', 'display name', 'displayname'),
    'external id': column(line(128), false, 'externalid', 'employee id', 'employee number', 'id'),
    department: column(line(120), false, 'dept'),
    phone: column(line(40), false, 'telephone', 'phone number', 'mobile'),
  },
  devices: {
    name: column(name, true, 'device name', 'device'),
    platform: column(lower(platform), true, 'os', 'operating system'),
    ownership: column(lower(ownership), false, 'owner type', 'owned by'),
    'user e-mail': column(email, false, 'user email', 'email', 'e-mail', 'user'),
    group: column(name, false, 'device group'),
    'serial number': column(line(64), false, 'serial', 'serialnumber', 'serial no'),
  },
} as const satisfies Record<ImportKind, Record<string, Column>>;

/** The columns of a kind, by the names that exports use too. */
export const columnNames = (kind: ImportKind): readonly string[] => Object.keys(columns[kind]);

/** A user as a row says it. What the file has no column for, or leaves empty, is null. */
export const userRow = userDetails.extend({ email });
export type UserRow = z.infer<typeof userRow>;

/** A device as a row says it. `group` is a device group's name. */
export interface DeviceRowInput {
  readonly name: string;
  readonly platform: z.infer<typeof platform>;
  readonly ownership: z.infer<typeof ownership>;
  readonly userEmail: string | null;
  readonly group: string | null;
  readonly serialNumber: string | null;
}

/** What is wrong with a row, and in which column. */
export interface RowFault {
  readonly column: string | null;
  readonly code: RefusalCode | 'invalid-input';
  readonly detail: string;
}

/** Which column of the table holds which field: position by name. */
export interface Heading {
  readonly positions: Readonly<Record<string, number>>;
  /** Headers that mean nothing here. */
  readonly ignored: readonly string[];
}

const plain = (header: string): string =>
  header
    .trim()
    .toLowerCase()
    .replace(/[_\s]+/g, ' ');

/**
 * Reads the header line; `mapping` says, by the column's name, under which header it is found. Answers a sentence
 * when a required column is missing or one is named twice.
 */
export const readHeading = (
  kind: ImportKind,
  header: readonly string[],
  mapping: Readonly<Record<string, string>> = {},
): Heading | string => {
  const found = new Map<string, number>();
  const ignored: string[] = [];
  const unknown = Object.keys(mapping).find((wanted) => !Object.hasOwn(columns[kind], wanted));
  if (unknown !== undefined) return `there is no column "${unknown}" to map`;
  for (const [position, given] of header.entries()) {
    const known = Object.entries<Column>(columns[kind]).find(([wanted, { also }]) =>
      Object.hasOwn(mapping, wanted)
        ? plain(mapping[wanted] as string) === plain(given)
        : wanted === plain(given) || also.includes(plain(given)),
    );
    if (!known) ignored.push(given);
    else if (found.has(known[0])) return `the column "${known[0]}" is there twice`;
    else found.set(known[0], position);
  }
  const lacking = Object.entries<Column>(columns[kind]).find(
    ([wanted, { required }]) => required && !found.has(wanted),
  );
  if (lacking) return `the column "${lacking[0]}" is missing`;
  return { positions: Object.fromEntries(found), ignored };
};

/** A row by column, read against the schemas: the values (null for what is empty), or what is wrong with it. */
const readCells = (
  kind: ImportKind,
  { positions }: Heading,
  cells: readonly string[],
): { values: Record<string, unknown>; faults: RowFault[] } => {
  const values: Record<string, unknown> = {};
  const faults: RowFault[] = [];
  for (const [wanted, { schema, required }] of Object.entries<Column>(columns[kind])) {
    const position = positions[wanted];
    const cell = position === undefined ? '' : (cells[position] ?? '').trim();
    values[wanted] = null;
    if (cell === '' && required) faults.push({ column: wanted, code: 'invalid-input', detail: 'is empty' });
    if (cell === '') continue;
    const parsed = schema.safeParse(cell);
    if (parsed.success) values[wanted] = parsed.data;
    else
      faults.push({
        column: wanted,
        code: 'invalid-input',
        detail: parsed.error.issues[0]?.message ?? 'is invalid',
      });
  }
  return { values, faults };
};

/** A user's row, or what is wrong with it. */
export const readUserRow = (heading: Heading, cells: readonly string[]): UserRow | readonly RowFault[] => {
  const { values, faults } = readCells('users', heading, cells);
  if (faults.length > 0) return faults;
  return {
    email: values['email'] as string,
    name: values['name'] as string,
    externalId: values['external id'] as string | null,
    department: values['department'] as string | null,
    phone: values['phone'] as string | null,
  };
};

/** A device's row, or what is wrong with it. */
export const readDeviceRow = (
  heading: Heading,
  cells: readonly string[],
): DeviceRowInput | readonly RowFault[] => {
  const { values, faults } = readCells('devices', heading, cells);
  if (faults.length > 0) return faults;
  return {
    name: values['name'] as string,
    platform: values['platform'] as DeviceRowInput['platform'],
    ownership: (values['ownership'] as DeviceRowInput['ownership'] | null) ?? 'corporate',
    userEmail: values['user e-mail'] as string | null,
    group: values['group'] as string | null,
    serialNumber: values['serial number'] as string | null,
  };
};
