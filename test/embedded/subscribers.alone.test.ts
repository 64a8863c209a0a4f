/** Subscribers that read nothing, while others do: what they cost. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { EventStoreDBClient, jsonEvent } from '@eventstore/db-client';
import streamsGrpc from '@eventstore/db-client/generated/streams_grpc_pb.js';
import grpc from '@grpc/grpc-js';
import { shared, streams } from '../../embedded/event-store/grpc/protocol.ts';
import { startEventStoreProcess } from '../../embedded/event-store/process.ts';
import { ensureDatabase } from '../../embedded/postgres.ts';
import { anyPostgres, dropDatabase, follow, freshStream, log } from './support.ts';

/** Memory of a process, in bytes. */
const residentBytes = (pid: number): number =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024;

const subscribeToAll = (): streams.ReadReq =>
  new streams.ReadReq().setOptions(
    new streams.ReadReq.Options()
      .setAll(new streams.ReadReq.Options.AllOptions().setStart(new shared.Empty()))
      .setSubscription(new streams.ReadReq.Options.SubscriptionOptions())
      .setNoFilter(new shared.Empty())
      .setUuidOption(new streams.ReadReq.Options.UUIDOption().setString(new shared.Empty())),
  );

describe('subscribers that read nothing', () => {
  const idle = 20;
  const eventBytes = 1_000;
  const appends = 40;
  const eventsEach = 500;

  it('cost no memory for each event, and delay nobody', {
    skip: process.platform !== 'linux' && 'reads /proc',
  }, async () => {
    const postgres = await anyPostgres();
    const name = `transport_${randomUUID().replaceAll('-', '')}`;
    const databaseUrl = await ensureDatabase(postgres.url, name);
    const server = await startEventStoreProcess({ port: 0, databaseUrl }, { log });
    // A connection each: calls of one connection share its window.
    const stubs = Array.from(
      { length: idle },
      () =>
        new streamsGrpc.StreamsClient(`127.0.0.1:${server.port}`, grpc.credentials.createInsecure(), {
          'grpc.use_local_subchannel_pool': 1,
        }),
    );
    const confirmed = stubs.map((stub) => {
      const call = stub.read(subscribeToAll());
      call.on('error', () => {});
      return new Promise<void>((resolve) => {
        call.once('data', () => {
          call.pause();
          resolve();
        });
      });
    });
    await Promise.all(confirmed);
    const client = EventStoreDBClient.connectionString(`esdb://127.0.0.1:${server.port}?tls=false`);
    const stream = freshStream();
    const attentive = follow(client.subscribeToStream(stream));
    await attentive.until(({ marks }) => marks.includes('caughtUp'));
    const before = residentBytes(server.pid());
    const text = 'x'.repeat(eventBytes);
    for (let n = 0; n < appends; n += 1) {
      const events = Array.from({ length: eventsEach }, () => jsonEvent({ type: 'Large', data: { text } }));
      await client.appendToStream(stream, events);
    }
    await attentive.until(({ events }) => events.length === appends * eventsEach);
    const grown = residentBytes(server.pid()) - before;
    // Had the server kept what the idle ones do not take, it would have grown by 400 MB.
    const kept = idle * appends * eventsEach * eventBytes;
    assert.ok(grown < kept / 2, `grew by ${Math.round(grown / 1e6)} MB`);
    await attentive.leave();
    for (const stub of stubs) stub.close();
    await client.dispose();
    await server.stop();
    await dropDatabase(postgres.url, name);
    await postgres.stop();
  });
});
