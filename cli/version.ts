/**
 * The version of Muster, from package.json. Called by muster.ts and by the start-up line of serve.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';

const manifest = z.object({ version: z.string() });
const path = fileURLToPath(new URL('../package.json', import.meta.url));

/** Semantic version. */
export const { version } = manifest.parse(JSON.parse(readFileSync(path, 'utf8')));
