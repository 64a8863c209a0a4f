/**
 * The mail server behind the proxy that is fuzzed: it is as lenient as Node's parser can be made, and says of everything
 * that reached it what it was. Called by ../fuzz.test.ts.
 */
import { EventEmitter, once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { readAll } from '../stage.ts';
import { heldTag } from './request.ts';

/** A request that arrived whole. */
export interface Arrived {
  readonly method: string;
  readonly url: string;
  readonly tag: string;
  readonly headers: readonly string[];
  readonly body: string;
}

export interface Recorder {
  readonly url: string;
  readonly arrived: Arrived[];
  /** Tags of requests of which the head arrived, whole or not. */
  readonly begun: string[];
  /** What was not HTTP even to this server. */
  readonly faults: string[];
  readonly untilHeld: () => Promise<void>;
  /** Answers the held request. */
  readonly release: () => void;
  readonly stop: () => Promise<void>;
}

/** Starts one on loopback. It answers each request with its tag. */
export const startRecorder = async (): Promise<Recorder> => {
  const arrived: Arrived[] = [];
  const begun: string[] = [];
  const faults: string[] = [];
  const held: ServerResponse[] = [];
  const events = new EventEmitter();
  const take = async (req: IncomingMessage, res: ServerResponse) => {
    const tag = String(req.headers['client-request-id'] ?? '');
    begun.push(tag);
    const body = (await readAll(req)).toString('latin1');
    const headers = req.rawHeaders.filter((_, at) => at % 2 === 0).map((name) => name.toLowerCase());
    arrived.push({ method: req.method ?? '', url: req.url ?? '', tag, headers, body });
    if (tag !== heldTag) return void res.writeHead(200, { 'content-length': tag.length }).end(tag);
    held.push(res);
    events.emit('held');
  };
  const server = createServer(
    { insecureHTTPParser: true, requireHostHeader: false, requestTimeout: 0 },
    (req, res) => {
      // A request that breaks off in its body never arrives; that is what `begun` is for.
      take(req, res).catch(() => {});
    },
  );
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    // The proxy breaks off what was broken off before it: the connection just ends.
    if (error.code !== 'ECONNRESET' && error.code !== 'HPE_INVALID_EOF_STATE')
      faults.push(`${error.code}: ${error.message}`);
    socket.destroy();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    arrived,
    begun,
    faults,
    untilHeld: async () => {
      while (held.length === 0) await once(events, 'held');
    },
    release: () => {
      for (const res of held) res.writeHead(200, { 'content-length': heldTag.length }).end(heldTag);
    },
    stop: async () => {
      server.closeAllConnections();
      server.close();
      if (server.listening) await once(server, 'close');
    },
  };
};
