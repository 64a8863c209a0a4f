/**
 * Tables for download: read page by page and written as the client takes them, so that a large tenant costs no more
 * memory than a small one. Called by main.ts beside this file.
 */
import type { Response } from 'express';
import type { HandoutId, ImportId, TenantId } from '../../domain/ids.ts';
import { columnNames } from '../../domain/import/rows.ts';
import { refuse } from '../../domain/refusals.ts';
import { isoTime } from '../../platform/clock.ts';
import { writeCsv } from '../../platform/csv.ts';
import { MusterError } from '../../platform/errors.ts';
import { handoutCode } from '../../platform/handout-code.ts';
import { handoutPurpose } from '../../platform/sealed-secrets.ts';
import { listDevices } from '../../projections/devices.ts';
import { listGroups } from '../../projections/groups.ts';
import { findHandout, listHandoutCodes } from '../../projections/handouts.ts';
import { findImport, listImportRows } from '../../projections/imports.ts';
import { maximumPage, type Page, type PageRequest } from '../../projections/page.ts';
import { listUsers } from '../../projections/users.ts';
import { openStream } from '../stream.ts';
import type { AdminParts } from './parts.ts';

type Cells = readonly (string | number | null)[];

/** A header and the rows behind it, in pieces. */
export interface Download {
  readonly header: readonly string[];
  readonly pieces: AsyncIterable<readonly Cells[]>;
}

async function* pagesOf<Row>(
  read: (page: PageRequest) => Promise<Page<Row>>,
  cellsOf: (row: Row) => Cells,
): AsyncGenerator<readonly Cells[]> {
  let after: string | undefined;
  do {
    const page = await read({ first: maximumPage, after });
    yield page.rows.map(cellsOf);
    after = page.hasNextPage ? page.cursors.at(-1) : undefined;
  } while (after !== undefined);
}

/** Users, under the headers that an import knows. */
export const userTable = ({ deps }: AdminParts, tenantId: TenantId): Download => ({
  header: [...columnNames('users'), 'status', 'devices'],
  pieces: pagesOf(
    (page) => listUsers(deps.sql, tenantId, {}, page),
    ({ email, name, externalId, department, phone, status, deviceCount }) => [
      email,
      name,
      externalId,
      department,
      phone,
      status,
      deviceCount,
    ],
  ),
});

const groupNames = async ({ deps }: AdminParts, tenantId: TenantId): Promise<Map<string, string>> => {
  const names = new Map<string, string>();
  const read = (page: PageRequest) => listGroups(deps.sql, tenantId, page);
  for await (const rows of pagesOf(read, ({ groupId, name }) => [groupId, name]))
    for (const [id, name] of rows) names.set(String(id), String(name));
  return names;
};

async function* devicePieces(parts: AdminParts, tenantId: TenantId): AsyncGenerator<readonly Cells[]> {
  const groups = await groupNames(parts, tenantId);
  yield* pagesOf(
    (page) => listDevices(parts.deps.sql, tenantId, {}, page),
    ({
      name,
      platform,
      ownership,
      userEmail,
      groupId,
      inventory,
      status,
      lastCheckInAt,
      complianceStatus,
    }) => [
      name,
      platform,
      ownership,
      userEmail,
      groupId === null ? null : (groups.get(groupId) ?? null),
      inventory.serialNumber ?? null,
      status,
      lastCheckInAt,
      complianceStatus,
    ],
  );
}

/** Devices, under the headers that an import knows. */
export const deviceTable = (parts: AdminParts, tenantId: TenantId): Download => ({
  header: [...columnNames('devices'), 'status', 'last check-in', 'compliance'],
  pieces: devicePieces(parts, tenantId),
});

/** What became of the rows of an import. */
export const importTable = async (
  { deps }: AdminParts,
  tenantId: TenantId,
  importId: ImportId,
): Promise<Download> => {
  if (!(await findImport(deps.sql, tenantId, importId))) throw refuse('import-missing');
  return {
    header: ['row', 'outcome', 'id', 'column', 'code', 'detail'],
    pieces: pagesOf(
      (page) => listImportRows(deps.sql, tenantId, importId, {}, page),
      ({ row, outcome, entityId, column, code, detail }) => [row, outcome, entityId, column, code, detail],
    ),
  };
};

/** The codes of a handout, as long as they can be used; afterwards the secret they follow from is forgotten. */
export const handoutTable = async (
  { deps, credentials }: AdminParts,
  tenantId: TenantId,
  handoutId: HandoutId,
): Promise<Download> => {
  const handout = await findHandout(deps.sql, tenantId, handoutId);
  if (!handout) throw refuse('handout-missing');
  const purpose = handoutPurpose(handoutId);
  if (handout.expiresAt <= isoTime(deps.clock())) await credentials.secrets.remove(tenantId, purpose);
  const secret = await credentials.secrets.get(tenantId, purpose);
  if (secret === null) throw refuse('enrolment-expired');
  return {
    header: ['user e-mail', 'code', 'valid until'],
    pieces: pagesOf(
      (page) => listHandoutCodes(deps.sql, tenantId, handoutId, page),
      ({ email, enrolmentId }) => [email, handoutCode(secret, enrolmentId), handout.expiresAt],
    ),
  };
};

/** Sends a table as a file. A fault on the way cuts the answer off: half a table must not look whole. */
export const sendTable = async (
  { stopping, deps }: AdminParts,
  res: Response,
  fileName: string,
  { header, pieces }: Download,
): Promise<void> => {
  res.setHeader('content-disposition', `attachment; filename="${fileName}"`);
  const stream = openStream(res, 'text/csv; charset=utf-8', stopping);
  try {
    await stream.write(writeCsv([header]));
    for await (const rows of pieces) {
      if (stream.signal.aborted) break;
      await stream.write(writeCsv(rows));
    }
    if (stopping.aborted) throw new MusterError('too-busy', 'the server stops');
    stream.end();
  } catch (err) {
    deps.log.warn({ err, fileName }, 'a download broke off');
    res.destroy();
  }
};
