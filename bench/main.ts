/**
 * `npm run bench`: performance as ratios against baselines measured in the same run on the same machine.
 * `npm run bench -- store` runs only the benches whose name contains a word, or is one; `--seconds N` sets the time per figure,
 * `--events N` the length of the longest log, `--tenants N` the most tenants.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type Embedded, startEmbedded } from '../embedded/main.ts';
import { openLog } from '../platform/log.ts';
import { benchCheckIn } from './check-in.ts';
import { benchProxyLag } from './proxy/lag.ts';
import { benchProxy } from './proxy/main.ts';
import { benchProxyTable } from './proxy/table.ts';
import { benchSignIn } from './sign-in.ts';
import { benchAppends } from './store/appends.ts';
import { benchBackup } from './store/backup.ts';
import { benchGrowth } from './store/growth.ts';
import { benchReads } from './store/reads.ts';
import { benchScavenge } from './store/scavenge.ts';
import { benchSubscriptions } from './store/subscriptions.ts';
import { benchTenants } from './tenants/main.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seconds: { type: 'string', default: '3' },
    events: { type: 'string', default: '1000000' },
    profile: { type: 'string' },
    tenants: { type: 'string', default: '10000' },
  },
});
const durationMs = Number(values.seconds) * 1000;
const benches: { [name: string]: (embedded: Embedded) => Promise<void> } = {
  'store-append': (embedded) => benchAppends(embedded, durationMs),
  'store-read': benchReads,
  'store-subscribe': (embedded) => benchSubscriptions(embedded, durationMs),
  'store-growth': (embedded) => benchGrowth(embedded, durationMs, Number(values.events)),
  'store-scavenge': (embedded) =>
    benchScavenge(embedded, durationMs, Math.min(300_000, Number(values.events))),
  'store-backup': (embedded) => benchBackup(embedded, durationMs, Number(values.events)),
  'check-in': (embedded) => benchCheckIn(embedded, durationMs),
  proxy: () => benchProxy(durationMs),
  'proxy-lag': benchProxyLag,
  'proxy-table': benchProxyTable,
  'sign-in': (embedded) => benchSignIn(embedded, durationMs),
  tenants: () => benchTenants(durationMs, Number(values.tenants)),
};

for (const [name, bench] of Object.entries(benches)) {
  const isMeant = (word: string): boolean => (word in benches ? name === word : name.includes(word));
  if (positionals.length > 0 && !positionals.some(isMeant)) continue;
  const dataDir = mkdtempSync(join(tmpdir(), 'muster-bench-'));
  const embedded = await startEmbedded(
    { dataDir, diskReserveMib: 256 },
    { log: openLog({ level: 'warn', name: 'bench' }) },
  );
  try {
    await bench(embedded);
  } finally {
    await embedded.stop();
    rmSync(dataDir, { recursive: true, force: true });
  }
}
