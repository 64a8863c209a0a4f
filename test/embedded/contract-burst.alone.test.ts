/**
 * Contract: 10,000 single appends fired at once through one client all succeed within the client's default deadline of
 * ten seconds. Alone on the machine, since the client itself needs a core for most of that time on the Append path.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { EventStoreDBClient } from '@eventstore/db-client';
import { type Contract, collect, freshStream, numbered, numbersOf, openContract } from './support.ts';

let contract: Contract;
let client: EventStoreDBClient;
before(async () => {
  contract = await openContract();
  client = contract.client();
});
after(() => contract.stop());

/** Credentials of its own make a call take the Append path; they are not sent over a plain connection. */
const paths = {
  BatchAppend: {},
  Append: { credentials: { username: 'admin', password: 'changeit' } },
};

describe('10,000 single appends at once', () => {
  for (const [path, options] of Object.entries(paths)) {
    it(`all succeed on the ${path} path`, async () => {
      const prefix = freshStream('burst');
      const results = await Promise.allSettled(
        Array.from({ length: 10_000 }, (_, n) =>
          client.appendToStream(`${prefix}-${n % 2_000}`, numbered(1, n), options),
        ),
      );
      const refused = results.filter((result) => result.status === 'rejected');
      assert.deepEqual(refused.slice(0, 3), []);
      assert.equal(refused.length, 0);
      const stored = await collect(client.readStream(`${prefix}-7`));
      assert.deepEqual(numbersOf(stored), [7, 2_007, 4_007, 6_007, 8_007]);
    });
  }
});
