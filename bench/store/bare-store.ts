/**
 * A gRPC server without storage that streams one event over and over: what the official client can take in at most.
 * Run as a process of its own by reads.ts; argument: how many events a read gets. Prints its port.
 */
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import grpc from '@grpc/grpc-js';
import { services } from '../../embedded/event-store/grpc/protocol.ts';
import { encodeEvent } from '../../embedded/event-store/grpc/wire.ts';
import { newEvents } from './alone.ts';

const count = Number(process.argv[2]);
const [event] = newEvents(1);
if (!event) throw new Error('no event to send');
const stored = { ...event, stream: `bench-${randomUUID()}`, created: 17_000_000_000_000_000n };

const read = async (call: grpc.ServerWritableStream<unknown, Buffer>): Promise<void> => {
  for (let n = 1; n <= count && !call.cancelled; n += 1) {
    const encoded = encodeEvent(
      { event: { ...stored, position: BigInt(n), revision: BigInt(n) }, link: undefined },
      'string',
    );
    if (!call.write(encoded)) await once(call, 'drain');
  }
  call.end();
};

const server = new grpc.Server();
server.addService({ read: services.streams.read } as unknown as grpc.ServiceDefinition, { read });
server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, port) => {
  if (error) throw error;
  console.log(String(port));
});
process.stdin.resume().on('end', () => process.exit(0));
