/**
 * A bare node:http server that parses a JSON body and answers JSON: the baseline of HTTP ingest. Run as a process of
 * its own by check-in.ts; prints its port.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

const server = createServer((req, res) => {
  const chunks: Buffer[] = [];
  req.on('data', (chunk: Buffer) => chunks.push(chunk));
  req.on('end', () => {
    const body = JSON.parse(Buffer.concat(chunks).toString('utf8')) as { checkInId: string };
    const text = JSON.stringify({ checkInId: body.checkInId, tasks: [], policies: [], nextSyncSeconds: 900 });
    res.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) });
    res.end(text);
  });
});
server.listen(0, '127.0.0.1', () => console.log(String((server.address() as AddressInfo).port)));
process.stdin.resume().on('end', () => process.exit(0));
