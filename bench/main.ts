/**
 * `npm run bench`: performance as ratios against baselines measured in the same run on the same machine.
 * `npm run bench -- store` runs only the benches whose name contains a word; `--seconds N` sets the time per figure.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { startEmbedded } from '../embedded/main.ts';
import { openLog } from '../platform/log.ts';
import { benchCheckIn } from './check-in.ts';
import { benchAppends } from './store/appends.ts';
import { benchReads } from './store/reads.ts';
import { benchSubscriptions } from './store/subscriptions.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { seconds: { type: 'string', default: '3' } },
});
const durationMs = Number(values.seconds) * 1000;
const benches = {
  'store-append': benchAppends,
  'store-read': benchReads,
  'store-subscribe': benchSubscriptions,
  'check-in': benchCheckIn,
};

for (const [name, bench] of Object.entries(benches)) {
  if (positionals.length > 0 && !positionals.some((word) => name.includes(word))) continue;
  const dataDir = mkdtempSync(join(tmpdir(), 'muster-bench-'));
  const embedded = await startEmbedded({ dataDir }, { log: openLog({ level: 'warn', name: 'bench' }) });
  try {
    await bench(embedded, durationMs);
  } finally {
    await embedded.stop();
    rmSync(dataDir, { recursive: true, force: true });
  }
}
