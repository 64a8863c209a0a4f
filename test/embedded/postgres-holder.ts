/** A process that runs PostgreSQL in the folder of its first argument until SIGTERM. Started by postgres.test.ts. */
import { startPostgres } from '../../embedded/postgres.ts';
import { openLog } from '../../platform/log.ts';

const postgres = await startPostgres(
  { dataDir: process.argv[2] as string },
  { log: openLog({ level: 'warn', name: 'holder' }) },
);
process.once('SIGTERM', () => void postgres.stop().then(() => process.exit(0)));
process.stdout.write(`${JSON.stringify({ pid: postgres.pid(), url: postgres.url })}\n`);
