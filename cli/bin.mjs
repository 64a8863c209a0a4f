#!/usr/bin/env node
// Entry point of the `muster` command: registers the TypeScript loader unless Muster is compiled, then hands over to the CLI.
// Called by npm (`npx muster …`), by package.json scripts, and by `muster serve` for its child processes.
import { existsSync } from 'node:fs';

const compiled = new URL('./muster.js', import.meta.url);
if (existsSync(compiled)) await import(compiled.href);
else {
  const { register } = await import('tsx/esm/api');
  register();
  await import('./muster.ts');
}
