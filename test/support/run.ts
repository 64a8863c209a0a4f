/**
 * Runs every test file and closes with one stable line: `N passed, N failed, N skipped`.
 * Called by `npm test`; `npm test -- proxy api/device` runs only the files whose path contains a word.
 *
 * Two files run at a time; afterwards, one by one, the `*.alone.test.ts`: those that need the machine to themselves,
 * because they load it or have to keep a deadline that their subject sets.
 *
 * Fails when it finds no file, when a file runs no test, and when anything fails. Every skip prints its
 * reason.
 */
import { readdirSync } from 'node:fs';
import { join, relative } from 'node:path';
import { run } from 'node:test';
import { fileURLToPath } from 'node:url';
import { openSql } from '../../platform/sql.ts';
import { startTemporaryPostgres } from './servers.ts';

const testRoot = fileURLToPath(new URL('..', import.meta.url));
const words = process.argv.slice(2);
const files = readdirSync(testRoot, { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.test.ts'))
  .filter((path) => words.length === 0 || words.some((word) => path.includes(word)))
  .sort()
  .map((path) => join(testRoot, path));

if (files.length === 0) {
  console.error(`No test file under ${testRoot} matches ${words.join(' ') || '*.test.ts'}.`);
  process.exit(1);
}

const counts = { passed: 0, failed: 0, skipped: 0 };
const casesByFile = new Map<string, number>(files.map((file) => [file, 0]));
const failures: string[] = [];
/** What generated tests count, told at the end; they say it as a diagnostic that begins so. */
const matrixMark = 'matrix: ';
const matrices: string[] = [];

const describeError = (error: unknown): string => {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  return cause instanceof Error ? (cause.stack ?? cause.message) : String(cause);
};

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
  const stream = run({ files: chosen, concurrency, timeout: 240_000 });
  stream.on('test:pass', (event) => {
    if (event.details.type === 'suite') return;
    const isFileEntry = event.file === undefined || event.name === event.file;
    if (isFileEntry) return;
    casesByFile.set(event.file as string, (casesByFile.get(event.file as string) ?? 0) + 1);
    if (event.skip !== undefined && event.skip !== false) {
      counts.skipped += 1;
      console.log(`  skip  ${event.name}: ${event.skip === true ? 'no reason given' : event.skip}`);
      return;
    }
    counts.passed += 1;
    console.log(
      `  ok    ${relative(testRoot, event.file as string)}: ${event.name} (${Math.round(event.details.duration_ms)} ms)`,
    );
  });
  stream.on('test:fail', (event) => {
    if (event.details.type === 'suite' && String(event.details.error.message).includes('subtest')) return;
    counts.failed += 1;
    if (event.file) casesByFile.set(event.file, (casesByFile.get(event.file) ?? 0) + 1);
    const where = event.file ? relative(testRoot, event.file) : '?';
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
  2,
);
await runFiles(files.filter(needsMachine), 1);

await postgres.stop();

for (const [file, cases] of casesByFile) {
  if (cases > 0) continue;
  counts.failed += 1;
  failures.push(`${relative(testRoot, file)}: ran no test`);
}
for (const failure of failures) console.log(`\n--- ${failure}`);
if (matrices.length > 0) console.log('');
for (const matrix of matrices) console.log(matrix);
console.log(`\n${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
process.exit(counts.failed > 0 || counts.passed === 0 ? 1 : 0);
