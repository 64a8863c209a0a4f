/**
 * Compiles Muster, runs every test file and closes with one stable line: `N passed, N failed, N skipped`.
 * Called by `npm test`; `npm test -- proxy api/device` runs only the files whose path contains a word.
 *
 * Three files run at a time, since each waits for its servers now and then; afterwards, one by one, the
 * `*.alone.test.ts`: those that need the machine to themselves, because they load it or have to keep a deadline that
 * their subject sets.
 *
 * Fails when it finds no file, when a file runs no test, and when anything fails. Every skip prints its
 * reason.
 */
import { readdirSync } from 'node:fs';
import { join, relative } from 'node:path';
import { run } from 'node:test';
import { fileURLToPath } from 'node:url';
import { openSql } from '../../platform/sql.ts';
import { compile, sourcesIn } from './compile.ts';
import { startTemporaryPostgres } from './servers.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const words = process.argv.slice(2);
/** Of the tests, by what they are called below test/. */
const files = readdirSync(join(root, 'test'), { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.test.ts'))
  .filter((path) => words.length === 0 || words.some((word) => path.includes(word)))
  .sort();

if (files.length === 0) {
  console.error(`No test file matches ${words.join(' ') || '*.test.ts'}.`);
  process.exit(1);
}

const counts = { passed: 0, failed: 0, skipped: 0 };
const secondsByFile = new Map<string, number>();
const casesByFile = new Map<string, number>(files.map((file) => [file, 0]));
const failures: string[] = [];
/** What generated tests count, told at the end; they say it as a diagnostic that begins so. */
const matrixMark = 'matrix: ';
const matrices: string[] = [];
/** How many of the slowest files are named at the end. */
const toldSlowest = 15;

const describeError = (error: unknown): string => {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  return cause instanceof Error ? (cause.stack ?? cause.message) : String(cause);
};

const compiled = await compile(root, sourcesIn(root));
const testRoot = join(compiled.folder, 'test');
const fileOf = (name: string): string => join(testRoot, name.replace(/\.ts$/, '.js'));
/** Source maps lead back from the copy to the repository. */
const nameOf = (file: string): string =>
  relative(file.startsWith(testRoot) ? testRoot : join(root, 'test'), file).replace(/\.js$/, '.ts');
// What this process was started with is not for the tests: they need no loader, but their own lines in traces.
process.execArgv = ['--enable-source-maps'];

// One PostgreSQL for the whole run; each test file makes databases of its own on it.
const postgres = await startTemporaryPostgres();
// What a power cut would lose is gone after the run anyway; tests of durability start a PostgreSQL of their own.
const admin = openSql(postgres.url, { max: 1 });
for (const setting of ['fsync', 'synchronous_commit', 'full_page_writes'])
  await admin.unsafe(`alter system set ${setting} = off`);
await admin`select pg_reload_conf()`;
await admin.end();
process.env['MUSTER_TEST_POSTGRES'] = postgres.url;

const runFiles = async (chosen: string[], concurrency: number): Promise<void> => {
  if (chosen.length === 0) return;
  const stream = run({ files: chosen.map(fileOf), concurrency, timeout: 240_000 });
  const startedAt = new Map<string, number>();
  stream.on('test:dequeue', ({ name }) => startedAt.set(name, performance.now()));
  stream.on('test:complete', ({ name, file }) => {
    if (name !== file) return;
    const seconds = (performance.now() - (startedAt.get(name) as number)) / 1000;
    secondsByFile.set(nameOf(name), seconds);
  });
  stream.on('test:pass', (event) => {
    if (event.details.type === 'suite') return;
    const isFileEntry = event.file === undefined || event.name === event.file;
    if (isFileEntry) return;
    const where = nameOf(event.file as string);
    casesByFile.set(where, (casesByFile.get(where) ?? 0) + 1);
    if (event.skip !== undefined && event.skip !== false) {
      counts.skipped += 1;
      console.log(`  skip  ${event.name}: ${event.skip === true ? 'no reason given' : event.skip}`);
      return;
    }
    counts.passed += 1;
    console.log(`  ok    ${where}: ${event.name} (${Math.round(event.details.duration_ms)} ms)`);
  });
  stream.on('test:fail', (event) => {
    if (event.details.type === 'suite' && String(event.details.error.message).includes('subtest')) return;
    counts.failed += 1;
    const where = event.file ? nameOf(event.file) : '?';
    if (event.file) casesByFile.set(where, (casesByFile.get(where) ?? 0) + 1);
    failures.push(`${where}: ${event.name}\n${describeError(event.details.error)}`);
    console.log(`  FAIL  ${where}: ${event.name}`);
  });
  stream.on('test:stderr', (event) => process.stderr.write(event.message));
  stream.on('test:diagnostic', ({ message }) => {
    if (message.startsWith(matrixMark)) matrices.push(message.slice(matrixMark.length));
  });
  await new Promise((resolve) => stream.once('end', resolve).resume());
};

const needsMachine = (file: string): boolean => file.endsWith('.alone.test.ts');
await runFiles(
  files.filter((file) => !needsMachine(file)),
  3,
);
await runFiles(files.filter(needsMachine), 1);

await postgres.stop();
compiled.remove();

for (const [file, cases] of casesByFile) {
  if (cases > 0) continue;
  counts.failed += 1;
  failures.push(`${file}: ran no test`);
}
for (const failure of failures) console.log(`\n--- ${failure}`);
const slowest = [...secondsByFile].sort(([, a], [, b]) => b - a).slice(0, toldSlowest);
console.log(`\nslowest: ${slowest.map(([file, seconds]) => `${file} ${Math.round(seconds)} s`).join(', ')}`);
if (matrices.length > 0) console.log('');
for (const matrix of matrices) console.log(matrix);
console.log(`\n${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
process.exit(counts.failed > 0 || counts.passed === 0 ? 1 : 0);
