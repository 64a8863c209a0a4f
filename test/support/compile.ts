/**
 * Copies the repository to a temporary folder with its TypeScript compiled beside it, so that the hundreds of processes
 * that a run of the tests starts need not compile it again each: that was a third of their time. Called by run.ts.
 *
 * Types are stripped and nothing else: one module stays one module, and whatever a module reads beside itself is there.
 */
import { chmodSync, cpSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { build, type Plugin } from 'esbuild';

/** What is no part of the program: a link to the packages takes the place of their folder. */
const left = /(^|\/)(node_modules|\.git|\.muster)(\/|$)/;

/** Leaves every import where it is; those of our own modules name what they are compiled to. */
const keepImports: Plugin = {
  name: 'keep-imports',
  setup({ onResolve }) {
    onResolve({ filter: /.*/ }, ({ kind, path }) =>
      kind === 'entry-point' ? undefined : { path: path.replace(/^(\..*)\.ts$/, '$1.js'), external: true },
    );
  },
};

/** The TypeScript of the repository at `root`, but for the benches, which nothing else imports. */
export const sourcesIn = (root: string): string[] =>
  readdirSync(root, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && !left.test(entry.name) && entry.name !== 'bench')
    .flatMap(({ name }) =>
      readdirSync(join(root, name), { recursive: true, encoding: 'utf8' })
        .filter((path) => path.endsWith('.ts'))
        .map((path) => join(name, path)),
    );

/** Compiles `files` of the repository at `root`; answers the folder of the copy and how to remove it. */
export const compile = async (
  root: string,
  files: readonly string[],
): Promise<{ folder: string; remove(): void }> => {
  const folder = mkdtempSync(join(tmpdir(), 'muster-compiled-'));
  // Some tests run as another user.
  chmodSync(folder, 0o755);
  cpSync(root, folder, { recursive: true, filter: (path) => !left.test(relative(root, path)) });
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
  await build({
    entryPoints: files.map((path) => join(root, path)),
    outdir: folder,
    outbase: root,
    bundle: true,
    plugins: [keepImports],
    format: 'esm',
    platform: 'node',
    target: 'node20',
    sourcemap: 'inline',
    sourcesContent: false,
    logLevel: 'error',
  });
  return { folder, remove: () => rmSync(folder, { recursive: true, force: true }) };
};
