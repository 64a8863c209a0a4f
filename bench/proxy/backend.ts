/**
 * The mail server and the feed of verdicts behind every contestant, a process of its own: 2 KB for every request,
 * nothing for a Ping. Started by bench/proxy/main.ts.
 */
import { createPrivateKey } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { createGzip } from 'node:zlib';
import { createSelfSigned } from '../../platform/pki.ts';
import { newSigningKey, publicHalf, signLine } from '../../platform/signed-line.ts';

const answer = Buffer.alloc(2_048, 120);
const devices = Number(process.argv[2]);
const rowsAtOnce = 500;

const mail = createServer({ requestTimeout: 0, keepAliveTimeout: 600_000 }, (req, res) => {
  const isPing = (req.url ?? '').includes('Cmd=Ping');
  req.resume();
  req.on('end', () => {
    if (!isPing) res.writeHead(200, { 'content-length': answer.length }).end(answer);
  });
});
const signingKey = createPrivateKey(newSigningKey());
const { certificate, key } = createSelfSigned(
  { commonName: 'bench', hosts: ['127.0.0.1'], usage: 'serverAuth' },
  new Date(),
);

const rowOf = (index: number) => [
  `dev_${index}`,
  `DEVICE${index}`,
  `user${index}@example.org`,
  index % 100 === 99 ? 0 : 1,
  'compliant',
  index + 1,
];

const feed = createTlsServer(
  { cert: certificate, key, requestCert: true, rejectUnauthorized: false },
  (req, res) => {
    const { pathname, searchParams } = new URL(req.url ?? '', 'https://bench');
    if (pathname !== '/proxy/v1/feed') {
      req.resume();
      req.on('end', () => res.writeHead(204).end());
      return;
    }
    res.writeHead(200, { 'content-encoding': 'gzip', 'x-muster-feed-key': publicHalf(signingKey) });
    const gzip = createGzip();
    gzip.pipe(res);
    const common = { tenantId: 'tenant', nonce: searchParams.get('nonce'), staleRule: 'deny' };
    let seq = 0;
    const send = (batch: object): void => {
      const text = JSON.stringify({ ...common, seq, position: String(devices), at: Date.now(), ...batch });
      seq += 1;
      gzip.write(`${signLine(signingKey, text)}\n`);
      gzip.flush();
    };
    for (let from = 0; from < devices; from += rowsAtOnce) {
      const count = Math.min(rowsAtOnce, devices - from);
      const verdicts = Array.from({ length: count }, (_, index) => rowOf(from + index));
      send({ from: null, snapshot: from + count === devices ? 'last' : 'part', verdicts });
    }
    const heartbeat = setInterval(() => send({ from: String(devices), verdicts: [] }), 10_000);
    res.once('close', () => clearInterval(heartbeat));
  },
);

const listen = (server: Server): Promise<number> =>
  new Promise((resolve) =>
    server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port)),
  );

process.send?.({ mail: await listen(mail), feed: await listen(feed) });
process.once('disconnect', () => process.exit());
