/** A TCP balancer for tests: writes a PROXY header, then passes bytes on in both directions. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import type { TestContext } from 'node:test';

/** A header of version 2 for a client with this IPv4 address; `fields` are appended as one field of type 0x04 (NOOP). */
export const proxyV2 = (client: string, noop: Buffer = Buffer.alloc(0)): Buffer => {
  const fields = noop.length === 0 ? noop : Buffer.concat([Buffer.from([0x04, 0, noop.length]), noop]);
  const header = Buffer.alloc(28);
  header.write('0d0a0d0a000d0a515549540a2111', 'hex');
  header.writeUInt16BE(12 + fields.length, 14);
  header.set(client.split('.').map(Number), 16);
  header.set([127, 0, 0, 1], 20);
  header.writeUInt16BE(40_000, 24);
  header.writeUInt16BE(443, 26);
  return Buffer.concat([header, fields]);
};

/** Spreads connections over `ports` in turn, passing by those that refuse; `client` is whom it says it speaks for. */
export const openBalancer = async (t: TestContext, ports: readonly number[], client: string) => {
  const sockets = new Set<Socket>();
  /** Where connections went. */
  const taken: number[] = [];
  let turn = 0;
  const pass = (from: Socket, attempts: number): void => {
    const port = ports[turn++ % ports.length] as number;
    const to = connect(port, '127.0.0.1');
    let isTaken = false;
    sockets.add(to);
    to.on('error', () => {});
    to.once('connect', () => {
      isTaken = true;
      taken.push(port);
      to.write(proxyV2(client));
      from.pipe(to).pipe(from);
      from.once('close', () => to.destroy());
    });
    to.once('close', () => (isTaken || attempts <= 1 ? from.destroy() : pass(from, attempts - 1)));
  };
  const server = createServer((from) => {
    sockets.add(from);
    from.on('error', () => {});
    pass(from, ports.length);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { port: (server.address() as AddressInfo).port, taken };
};
