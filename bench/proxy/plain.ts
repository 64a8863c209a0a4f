/**
 * What one writes first: node:http in front, a keep-alive agent behind, streams between, no gate and no log. Started by
 * bench/proxy/main.ts.
 */
import { readFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';

const [backendPort = '', certFile = '', keyFile = ''] = process.argv.slice(2);
const agent = new Agent({ keepAlive: true });

const server = createServer(
  { cert: readFileSync(certFile), key: readFileSync(keyFile), requestTimeout: 0 },
  (req, res) => {
    const onward = request(
      {
        agent,
        host: '127.0.0.1',
        port: Number(backendPort),
        path: req.url,
        method: req.method,
        headers: req.headers,
      },
      (answer) => {
        res.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(res);
      },
    );
    onward.on('error', () => res.destroy());
    res.once('close', () => onward.destroy());
    req.pipe(onward);
  },
);
server.listen(0, '127.0.0.1', () => process.send?.({ port: (server.address() as AddressInfo).port }));
process.once('disconnect', () => process.exit());
