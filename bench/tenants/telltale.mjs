// Loaded into a server under test by NODE_OPTIONS: on SIGUSR2 it writes what the process holds, after collecting garbage.
// Named by process.ts, which reads the file.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc');

process.on('SIGUSR2', () => {
  collect();
  const resources = process.getActiveResourcesInfo();
  const { rss, heapUsed } = process.memoryUsage();
  writeFileSync(
    join(process.env['MUSTER_DATA_DIR'], 'telltale.json'),
    JSON.stringify({ resources, rss, heapUsed }),
  );
});
