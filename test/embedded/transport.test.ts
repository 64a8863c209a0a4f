/** Connections over TLS: pings, and the end of the server. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import http2 from 'node:http2';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import grpc from '@grpc/grpc-js';
import { openSql } from '../../platform/sql.ts';
import { openSecureStore, type SecureStore } from './secure.ts';
import { follow, freshStream, numbered, rejection } from './support.ts';

let store: SecureStore;
before(async () => {
  store = await openSecureStore();
});
after(() => store.stop());

it('a client may ping as often as it likes', async () => {
  const session = http2.connect(`https://localhost:${store.port}`, { ca: readFileSync(store.caFile) });
  await once(session, 'connect');
  let goneAway: string | undefined;
  session.on('goaway', (code, _last, data: Buffer) => {
    goneAway = `${code} ${data}`;
  });
  const ping = promisify((done: (error: Error | null) => void) => session.ping(done));
  for (let n = 0; n < 200; n += 1) await ping();
  assert.equal(goneAway, undefined);
  assert.ok(!session.closed && !session.destroyed);
  session.destroy();
});

describe('the end of a server', () => {
  const codeOf = (error: Error & { code?: number | string }): string =>
    error.code === grpc.status.UNAVAILABLE
      ? 'unavailable'
      : String((error as { type?: string }).type ?? error);

  it('fails appends that wait, on both paths, and ends subscriptions, all with UNAVAILABLE', async () => {
    const ending = await openSecureStore();
    const batch = ending.client(ending.admin);
    const unary = ending.client();
    const stream = freshStream();
    await batch.appendToStream(stream, numbered(1));
    await unary.appendToStream(stream, numbered(1), { credentials: ending.alice });
    const subscription = follow(batch.subscribeToAll());
    await subscription.until(({ marks }) => marks.includes('caughtUp'));

    const locker = openSql(ending.databaseUrl, { max: 1 });
    await locker.begin(async (tx) => {
      // Readers may go on; whoever writes waits.
      await tx`lock table event_store.events in exclusive mode`;
      const waiting = [
        rejection(batch.appendToStream(stream, numbered(1))),
        rejection(unary.appendToStream(stream, numbered(1), { credentials: ending.alice })),
        rejection(batch.appendToStream(freshStream(), numbered(1))),
      ];
      for (;;) {
        const [row] = await ending.sql<{ n: number }[]>`
          select count(*)::int as n from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`;
        if ((row?.n ?? 0) > 0) break;
      }
      const stopping = ending.stopServer();
      assert.deepEqual((await Promise.all(waiting)).map(codeOf), Array(3).fill('unavailable'));
      assert.equal(codeOf(await subscription.failed), 'unavailable');
      await stopping;
    });
    await locker.end();
    await ending.stop();
  });
});
