/**
 * Imports of users and devices in GraphQL. Listed in schema.ts; larger files go to `POST /admin/v1/imports`.
 */
import { createHash } from 'node:crypto';
import { type ImportId, importId } from '../../domain/ids.ts';
import { importDecider } from '../../domain/import/decide.ts';
import { type ImportCounts, type ImportKind, mostRows, type RowResult } from '../../domain/import/import.ts';
import { refuse } from '../../domain/refusals.ts';
import { line } from '../../domain/text.ts';
import { readCsv } from '../../platform/csv.ts';
import { MusterError } from '../../platform/errors.ts';
import { importOptions } from '../../platform/uploads.ts';
import { findImport, type ImportRow, listImportRows, listImports } from '../../projections/imports.ts';
import { type Preview, type PreviewFault, previewImport } from '../admin/preview.ts';
import { builder, RefusedError } from './builder.ts';
import { connectionOf, pageArgs, pageOf } from './connection.ts';
import { type ApiContext, signedIn } from './context.ts';
import { act, type Changed, payloadOf, settle } from './effect.ts';
import { ImportKindEnum, ImportModeEnum, ImportStatus, RowOutcomeEnum } from './enums.ts';
import { mutation } from './mutation.ts';
import { Import } from './refs.ts';

const RowResultType = builder.objectRef<RowResult>('ImportRowResult').implement({
  description: 'What became of a row.',
  fields: (t) => ({
    row: t.exposeInt('row', { description: 'Line of the table; the header is 1.' }),
    outcome: t.expose('outcome', { type: RowOutcomeEnum }),
    entityId: t.exposeID('entityId', { nullable: true, description: 'What it created or found.' }),
    column: t.exposeString('column', { nullable: true }),
    code: t.exposeString('code', { nullable: true, description: 'Of the catalogue of errors.' }),
    detail: t.exposeString('detail', { nullable: true }),
  }),
});

const CountsType = builder.objectRef<ImportCounts>('ImportCounts').implement({
  fields: (t) => ({
    created: t.exposeInt('created'),
    updated: t.exposeInt('updated'),
    skipped: t.exposeInt('skipped'),
    failed: t.exposeInt('failed'),
  }),
});

builder.node(Import, {
  description: 'A file that is imported row by row.',
  id: { resolve: (row) => row.importId },
  fields: (t) => ({
    kind: t.expose('kind', { type: ImportKindEnum }),
    mode: t.expose('mode', { type: ImportModeEnum }),
    fileName: t.exposeString('fileName', { nullable: true }),
    status: t.expose('status', { type: ImportStatus }),
    rows: t.exposeInt('rows'),
    done: t.exposeInt('done', { description: 'Rows that are done.' }),
    counts: t.expose('counts', { type: CountsType }),
    requestedAt: t.expose('requestedAt', { type: 'DateTime' }),
    results: t.field({
      type: connectionOf('ImportRowResult', RowResultType),
      description: 'In the order of the rows; as a file at /admin/v1/imports/<id>/results.csv.',
      args: { ...pageArgs, outcome: t.arg({ type: RowOutcomeEnum }) },
      resolve: (row, { outcome, ...page }, context) =>
        listImportRows(
          context.deps.sql,
          signedIn(context).tenantId,
          row.importId,
          { outcome: outcome ?? undefined },
          pageOf(page),
        ),
    }),
  }),
});

builder.queryField('imports', (t) =>
  t.field({
    type: connectionOf('Import', Import),
    description: 'Imports, the newest first.',
    authScopes: { permission: 'user.read' },
    args: pageArgs,
    resolve: (_root, args, context) =>
      listImports(context.deps.sql, signedIn(context).tenantId, pageOf(args)),
  }),
);

const FaultType = builder.objectRef<PreviewFault>('ImportFault').implement({
  description: 'What is wrong with a row.',
  fields: (t) => ({
    row: t.exposeInt('row', { description: 'Line of the table; the header is 1.' }),
    column: t.exposeString('column', { nullable: true }),
    code: t.exposeString('code'),
    detail: t.exposeString('detail'),
    advice: t.exposeString('advice', { description: 'What to do.' }),
  }),
});

const PreviewType = builder.objectRef<Preview>('ImportPreview').implement({
  description: 'What an import would do. The file is kept for a week, until it is imported.',
  fields: (t) => ({
    previewId: t.id({ resolve: (preview) => preview.importId }),
    rows: t.exposeInt('rows'),
    columns: t.exposeStringList('columns'),
    ignored: t.exposeStringList('ignored', { description: 'Headers that mean nothing here.' }),
    delimiter: t.exposeString('delimiter'),
    create: t.exposeInt('create'),
    update: t.exposeInt('update'),
    skip: t.exposeInt('skip'),
    fail: t.exposeInt('fail'),
    faults: t.field({ type: [FaultType], resolve: ({ faults }) => [...faults] }),
  }),
});

interface FileInput {
  readonly csv: string;
  readonly mode: ImportRow['mode'];
  readonly fileName?: string | null | undefined;
  readonly mapping?: unknown;
}

const preview = (context: ApiContext, kind: ImportKind, input: FileInput): Promise<Preview> => {
  const { mode, fileName = null, mapping } = input;
  const options = importOptions.safeParse({ kind, mode, fileName, mapping: mapping ?? {} });
  if (!options.success)
    throw new MusterError('invalid-input', options.error.issues[0]?.message ?? '', { field: 'mapping' });
  return previewImport(
    context.deps,
    signedIn(context).tenantId,
    options.data,
    Buffer.from(input.csv, 'utf8'),
  );
};

/** Starts what was previewed; a second call finds the same import. */
const startImport = async (
  context: ApiContext,
  kind: ImportKind,
  id: ImportId,
): Promise<Changed<ImportId>> => {
  const { deps } = context;
  const { tenantId } = signedIn(context);
  const known = await deps.handler.load(importDecider, { tenantId, id });
  const upload = known.state.status === 'none' ? await deps.uploads.find(tenantId, id) : null;
  if (known.state.status !== 'none' && known.state.kind === kind) return { id, ...(await settle(context)) };
  if (!upload || upload.options.kind !== kind)
    throw new RefusedError(refuse('import-missing', { field: 'previewId' }));
  const { rows } = await readCsv(upload.content, mostRows);
  const done = await act(context, importDecider, id, {
    type: 'RequestImport',
    kind,
    mode: upload.options.mode,
    fileName: upload.options.fileName,
    digest: createHash('sha256').update(upload.content).digest('hex'),
    rows: rows.length,
  });
  return { id, ...(await settle(context, done)) };
};

const Payload = payloadOf<ImportId, ImportRow>('Import', 'import', Import, findImport);

for (const [kind, noun, permission] of [
  ['users', 'User', 'user.manage'],
  ['devices', 'Device', 'device.manage'],
] as const) {
  mutation(`preview${noun}Import`, {
    description: `Says what importing a table of ${kind} would do, and changes nothing. Larger files: POST /admin/v1/imports.`,
    permission,
    type: PreviewType,
    input: (t) => ({
      csv: t.string({ required: true, description: 'With a header line; comma, semicolon or tab.' }),
      mode: t.field({
        type: ImportModeEnum,
        required: true,
        defaultValue: 'create',
        description:
          'What becomes of rows about something that exists: they fail, change it, or are skipped.',
      }),
      fileName: t.string().validate(line(200).nullish()),
      mapping: t.field({ type: 'JSON', description: 'Column → the header under which it is found.' }),
    }),
    run: (input, context) => preview(context, kind, input),
  });

  mutation(`import${noun}s`, {
    description: `Imports a table of ${kind}: one that was previewed, or one given here. Rows that fail keep no other from being done.`,
    permission,
    type: Payload,
    input: (t) => ({
      previewId: t.id().validate(importId.nullish()),
      csv: t.string(),
      mode: t.field({ type: ImportModeEnum, required: true, defaultValue: 'create' }),
    }),
    run: async (input, context) => {
      if (Boolean(input.previewId) === (typeof input.csv === 'string'))
        throw new MusterError('invalid-input', 'give either previewId or csv', { field: 'previewId' });
      const given = input.previewId ?? null;
      const id =
        given ?? (await preview(context, kind, { csv: input.csv as string, mode: input.mode })).importId;
      return startImport(context, kind, id);
    },
  });
}
