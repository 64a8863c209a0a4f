/**
 * Muster's proxy with its gate, access log and metrics. Started by bench/proxy/main.ts.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { openLog } from '../../platform/log.ts';
import { parseProxyConfig } from '../../proxy/config.ts';
import { start } from '../../proxy/main.ts';

const [backendPort, certFile, keyFile, feedPort, dir] = process.argv.slice(2);
const proxy = await start(
  parseProxyConfig({
    listenPort: 0,
    tls: { certFile, keyFile },
    publicUrl: 'https://mail.example.org',
    backendUrl: `http://127.0.0.1:${backendPort}`,
    serverUrl: `http://127.0.0.1:${feedPort}`,
    serverToken: 'proxy-token-of-the-bench',
    stateFile: `${dir}/state`,
    log: { file: `${dir}/access.log` },
  }),
  { log: openLog({ level: 'warn', name: 'bench' }) },
);
while (proxy.health().stale) await sleep(20);
process.send?.({ port: proxy.port });
process.once('disconnect', () => process.exit());
// How a profiled run ends: a signal's own end would leave no profile.
process.once('SIGINT', () => process.exit());
