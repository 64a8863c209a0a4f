/**
 * How node is started with a module of Muster: TypeScript needs its loader, compiled modules do not. Called by whoever
 * starts a part of Muster as a process of its own.
 */
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Arguments for node; `stem` is relative to the module at `base` (its `import.meta.url`) and has no extension. */
export const moduleArgs = (stem: string, base: string): string[] => {
  const extension = extname(base);
  const file = fileURLToPath(new URL(`${stem}${extension}`, base));
  return extension === '.ts' ? ['--import', import.meta.resolve('tsx'), file] : [file];
};
