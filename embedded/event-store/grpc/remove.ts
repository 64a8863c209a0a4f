/**
 * Streams.Delete and Streams.Tombstone.
 * Mounted by server.ts.
 */
import { randomUUID } from 'node:crypto';
import type grpc from '@grpc/grpc-js';
import type { Expected } from '../expected.ts';
import type { Writer } from '../writer.ts';
import { asFailure, invalidArgument, isFailure, writeFailure } from './failures.ts';
import type { Guard } from './guard.ts';
import { type shared, streams } from './protocol.ts';
import { readRevision, readStreamName } from './requests.ts';

interface RemovalOptions {
  getStreamIdentifier(): shared.StreamIdentifier | undefined;
  hasRevision(): boolean;
  getRevision(): string;
  hasNoStream(): boolean;
  hasAny(): boolean;
  hasStreamExists(): boolean;
}

const readExpected = (options: RemovalOptions): Expected => {
  if (options.hasRevision()) return readRevision(options.getRevision());
  if (options.hasNoStream()) return -1n;
  if (options.hasAny()) return 'any';
  if (options.hasStreamExists()) return 'stream-exists';
  throw invalidArgument('The expected stream revision is missing');
};

type RemovalCall = Parameters<Guard['identify']>[0] & {
  readonly request: { getOptions(): RemovalOptions | undefined };
};

const remove = async (
  writer: Writer,
  kind: 'delete' | 'tombstone',
  call: RemovalCall,
  guard: Guard | undefined,
): Promise<bigint | undefined> => {
  const caller = await guard?.identify(call).current();
  const options = call.request.getOptions();
  if (!options) throw invalidArgument('The options are missing');
  const stream = readStreamName(options.getStreamIdentifier(), true);
  if (isFailure(stream)) throw stream;
  if (stream.startsWith('$$'))
    throw invalidArgument('A metadata stream cannot be deleted; write new metadata instead');
  const expected = readExpected(options);
  const outcome = await writer.submit({
    kind,
    stream,
    expected,
    eventId: randomUUID(),
    may: guard?.writing(caller, 'delete', stream),
  });
  if (!outcome.done) throw writeFailure(stream, expected, outcome);
  return outcome.position;
};

/** Handler of Delete; with a `guard`, callers are checked. */
export const deleteHandler =
  (writer: Writer, guard?: Guard): grpc.handleUnaryCall<streams.DeleteReq, streams.DeleteResp> =>
  (call, callback) => {
    remove(writer, 'delete', call, guard).then(
      (position) => {
        const text = (position ?? 0n).toString();
        callback(
          null,
          new streams.DeleteResp().setPosition(
            new streams.DeleteResp.Position().setCommitPosition(text).setPreparePosition(text),
          ),
        );
      },
      (error) => callback(asFailure(error)),
    );
  };

/** Handler of Tombstone, likewise. */
export const tombstoneHandler =
  (writer: Writer, guard?: Guard): grpc.handleUnaryCall<streams.TombstoneReq, streams.TombstoneResp> =>
  (call, callback) => {
    remove(writer, 'tombstone', call, guard).then(
      (position) => {
        const text = (position ?? 0n).toString();
        callback(
          null,
          new streams.TombstoneResp().setPosition(
            new streams.TombstoneResp.Position().setCommitPosition(text).setPreparePosition(text),
          ),
        );
      },
      (error) => callback(asFailure(error)),
    );
  };
