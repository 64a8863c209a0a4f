/**
 * Carries out rows of users: each e-mail is reserved, so that two imports at once cannot create one person twice.
 * Called by run-import.ts.
 */
import type { UserId } from '../../domain/ids.ts';
import type { RowResult } from '../../domain/import/import.ts';
import type { UserRow } from '../../domain/import/rows.ts';
import { isRefusal, refuse } from '../../domain/refusals.ts';
import { userDecider } from '../../domain/user/decide.ts';
import type { UserDetails } from '../../domain/user/user.ts';
import { derivedId } from '../../platform/derived-id.ts';
import { holderOf, reserve } from '../../platform/reservation.ts';
import { eachOf } from '../in-turn.ts';
import { type ImportRun, rowCause, rowDone, rowRefused, rowsAtOnce } from './run.ts';

interface Row {
  readonly row: number;
  readonly value: UserRow;
}

/** Column → the detail that it changes. */
const details = {
  name: 'name',
  'external id': 'externalId',
  department: 'department',
  phone: 'phone',
} as const satisfies Record<string, keyof UserDetails>;

const changesOf = (value: UserRow, columns: ReadonlySet<string>): Partial<UserDetails> =>
  Object.fromEntries(
    Object.entries(details).flatMap(([column, detail]) =>
      columns.has(column) ? [[detail, value[detail]]] : [],
    ),
  );

const existing = async ({ row, value }: Row, userId: UserId, run: ImportRun): Promise<RowResult> => {
  if (run.mode === 'skip') return rowDone(row, 'skipped', userId);
  if (run.mode === 'create') return rowRefused(row, refuse('user-exists'), 'email');
  const handled = await run.parts.deps.handler.handle(
    userDecider,
    { tenantId: run.origin.tenantId, id: userId },
    { type: 'ChangeUserDetails', changes: changesOf(value, run.columns) },
    rowCause(run, row, 'change'),
  );
  return isRefusal(handled) ? rowRefused(row, handled) : rowDone(row, 'updated', userId);
};

const carryOut = async (given: Row, run: ImportRun): Promise<RowResult> => {
  const { row, value } = given;
  const { handler } = run.parts.deps;
  const { tenantId } = run.origin;
  const id = derivedId('usr', run.requestedAt, `${run.importId}/${row}`);
  const unique = { kind: 'user-email', value: value.email, tenantId } as const;
  const taken = await reserve(handler, unique, id, rowCause(run, row, 'reserve'));
  if (taken) {
    const holder = (await holderOf(handler, unique)) as UserId | null;
    return holder === null ? rowRefused(row, taken, 'email') : existing(given, holder, run);
  }
  const handled = await handler.handle(
    userDecider,
    { tenantId, id },
    { type: 'CreateUser', source: { kind: 'internal' }, ...value },
    rowCause(run, row, 'create'),
  );
  return isRefusal(handled) ? rowRefused(row, handled, 'email') : rowDone(row, 'created', id);
};

/** Carries out rows, some at once; answers one result for each. */
export const importUsers = async (rows: readonly Row[], run: ImportRun): Promise<RowResult[]> => {
  const results: RowResult[] = [];
  await eachOf(rows, rowsAtOnce, async (given) => {
    results.push(await carryOut(given, run));
  });
  return results;
};
