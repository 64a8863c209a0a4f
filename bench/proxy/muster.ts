/**
 * Muster's proxy with its gate, access log and metrics. Started by bench/proxy/main.ts.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { openLog } from '../../platform/log.ts';
import { parseProxyConfig } from '../../proxy/config.ts';
import { makeIdentity } from '../../proxy/identity.ts';
import { instanceDir } from '../../proxy/instance.ts';
import { start } from '../../proxy/main.ts';

const [backendPort, certFile, keyFile, feedPort, dir] = process.argv.slice(2);
const config = parseProxyConfig({
  serverUrl: `https://127.0.0.1:${feedPort}`,
  allowAnyServerCertificate: true,
  stateDir: `${dir}/state`,
  log: { file: `${dir}/access.log` },
  instances: [
    {
      name: 'mail',
      listenPort: 0,
      tls: { certFile, keyFile },
      publicUrl: 'https://mail.example.org',
      backend: { url: `http://127.0.0.1:${backendPort}` },
    },
  ],
});
makeIdentity(instanceDir(config, 'mail'), 'mail', new Date());
const proxy = await start(config, { log: openLog({ level: 'error', name: 'bench' }) });
while (proxy.health().status === 'stale') await sleep(20);
process.send?.({ port: proxy.instances[0]?.port });
process.once('disconnect', () => process.exit());
// How a profiled run ends: a signal's own end would leave no profile.
process.once('SIGINT', () => process.exit());
