/**
 * Job: works an import off, so many rows at once, and records what became of each. Queued by react.ts. A row's new
 * thing has an id that follows from import and row, so that a job that is run again creates nothing twice.
 */
import { importDecider } from '../domain/import/decide.ts';
import { type ImportState, mostRows, mostRowsPerEvent, type RowResult } from '../domain/import/import.ts';
import { type Judged, judgeDevices, judgeUsers } from '../domain/import/judge.ts';
import { type Heading, readHeading } from '../domain/import/rows.ts';
import { isRefusal } from '../domain/refusals.ts';
import { readCsv, type Table } from '../platform/csv.ts';
import { MusterError } from '../platform/errors.ts';
import type { Upload } from '../platform/uploads.ts';
import { causeOf } from './cause.ts';
import { importDevices } from './import/devices.ts';
import type { ImportRun } from './import/run.ts';
import { importUsers } from './import/users.ts';
import type { JobData, JobKind, Parts, RunningJob } from './jobs.ts';

type ImportJob = RunningJob<JobData['run-import']>;
type Requested = Exclude<ImportState, { status: 'none' }>;

const stateOf = async ({ data }: ImportJob, { deps }: Parts): Promise<Requested> => {
  const target = { tenantId: data.origin.tenantId, id: data.importId };
  const { state } = await deps.handler.load(importDecider, target);
  if (state.status === 'none') throw new MusterError('internal', `${data.importId} was never requested`);
  return state;
};

const say = async (
  job: ImportJob,
  { deps }: Parts,
  command: Parameters<typeof importDecider.decide>[0],
): Promise<void> => {
  const { origin, importId } = job.data;
  const target = { tenantId: origin.tenantId, id: importId };
  const cause = causeOf('run-import', `${job.id}.${command.type}`, origin);
  const handled = await deps.handler.handle(importDecider, target, command, cause);
  if (isRefusal(handled)) throw new MusterError('internal', `${importId} refused: ${handled.refused}`);
};

/** A row that was judged to be faulty fails for its first fault. */
const failedRow = ({ row, faults }: Extract<Judged<object>, { faults: unknown }>): RowResult => ({
  row,
  outcome: 'failed',
  entityId: null,
  column: faults[0]?.column ?? null,
  code: faults[0]?.code ?? 'invalid-input',
  detail: faults[0]?.detail.slice(0, 500) ?? null,
});

/** Carries out the rows of one chunk; results come in the order of the rows. */
const carryOut = async <Value>(
  chunk: readonly Judged<Value>[],
  run: ImportRun,
  work: (
    rows: readonly { readonly row: number; readonly value: Value }[],
    run: ImportRun,
  ) => Promise<readonly RowResult[]>,
): Promise<RowResult[]> => {
  const good = chunk.filter((judged) => 'value' in judged);
  const done = new Map((await work(good, run)).map((result) => [result.row, result]));
  return chunk.map((judged) => ('value' in judged ? (done.get(judged.row) as RowResult) : failedRow(judged)));
};

const chunksOf = (table: Table, heading: Heading, upload: Upload, run: ImportRun, done: number) => {
  const width = table.header.length;
  const slices = <Value>(judged: readonly Judged<Value>[], work: Parameters<typeof carryOut<Value>>[2]) =>
    Array.from({ length: Math.ceil((judged.length - done) / mostRowsPerEvent) }, (_, index) => {
      const from = done + index * mostRowsPerEvent;
      const chunk = judged.slice(from, from + mostRowsPerEvent);
      return { from, carryOut: () => carryOut(chunk, run, work) };
    });
  return upload.options.kind === 'users'
    ? slices(judgeUsers(heading, width, table.rows), importUsers)
    : slices(judgeDevices(heading, width, table.rows), importDevices);
};

export const runImport: JobKind<'run-import'> = {
  queue: 'run-import',
  concurrency: 2,
  async run(job, parts) {
    const { origin, importId } = job.data;
    const { tenantId } = origin;
    const { uploads } = parts.deps;
    const { status, done, mode, requestedAt } = await stateOf(job, parts);
    const upload = status === 'running' ? await uploads.find(tenantId, importId) : null;
    if (status === 'running' && !upload) {
      await say(job, parts, { type: 'AbandonImport', reason: 'the uploaded file is no longer there' });
    } else if (upload) {
      const table = await readCsv(upload.content, mostRows);
      const heading = readHeading(upload.options.kind, table.header, upload.options.mapping);
      if (typeof heading === 'string') throw new MusterError('invalid-csv', heading);
      const columns = new Set(Object.keys(heading.positions));
      const run: ImportRun = { parts, origin, importId, mode, requestedAt, columns, jobId: job.id };
      for (const chunk of chunksOf(table, heading, upload, run, done)) {
        parts.stopping.throwIfAborted();
        const results = await chunk.carryOut();
        await say(job, parts, { type: 'RecordImportRows', from: chunk.from, results });
        await job.progress({ done: chunk.from + results.length, rows: table.rows.length });
      }
      await say(job, parts, { type: 'FinishImport' });
    }
    await uploads.remove(tenantId, importId);
    return (await stateOf(job, parts)).status;
  },
};
