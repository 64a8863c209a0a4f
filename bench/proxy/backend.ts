/**
 * The mail server and the feed of verdicts behind every contestant, a process of its own: 2 KB for every request,
 * nothing for a Ping. Started by bench/proxy/main.ts.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

const answer = Buffer.alloc(2_048, 120);
const devices = Number(process.argv[2]);

const mail = createServer({ requestTimeout: 0, keepAliveTimeout: 600_000 }, (req, res) => {
  const isPing = (req.url ?? '').includes('Cmd=Ping');
  req.resume();
  req.on('end', () => {
    if (!isPing) res.writeHead(200, { 'content-length': answer.length }).end(answer);
  });
});
const feed = createServer((req, res) => {
  if (!(req.url ?? '').startsWith('/proxy/v1/feed')) {
    req.resume();
    req.on('end', () => res.writeHead(204).end());
    return;
  }
  res.write(`${JSON.stringify({ kind: 'snapshot' })}\n`);
  for (let index = 0; index < devices; index += 1) {
    const verdict = {
      kind: 'verdict',
      deviceId: `dev_${index}`,
      easDeviceId: `DEVICE${index}`,
      userEmail: `user${index}@example.org`,
      access: index % 100 === 99 ? 'deny' : 'allow',
      reason: 'compliant',
      position: String(index + 1),
    };
    res.write(`${JSON.stringify(verdict)}\n`);
  }
  const confirm = () => res.write(`${JSON.stringify({ kind: 'position', position: String(devices) })}\n`);
  confirm();
  const heartbeat = setInterval(confirm, 10_000);
  res.once('close', () => clearInterval(heartbeat));
});

const listen = (server: typeof mail): Promise<number> =>
  new Promise((resolve) =>
    server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port)),
  );

process.send?.({ mail: await listen(mail), feed: await listen(feed) });
process.once('disconnect', () => process.exit());
