#!/usr/bin/env node
// Entry point of the `muster` command: registers the TypeScript loader, then hands over to the CLI.
// Called by npm (`npx muster …`), by package.json scripts, and by `muster serve` for its child processes.
import { register } from 'tsx/esm/api';

register();
await import('./muster.ts');
