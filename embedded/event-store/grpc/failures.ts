/**
 * Errors as EventStoreDB's clients expect them: gRPC codes with an `exception` trailer and its keys.
 * Called by the gRPC handlers.
 */
import grpc from '@grpc/grpc-js';
import type { Expected } from '../expected.ts';
import type { WriteOutcome } from '../writer.ts';

/** Largest append in bytes of event data, as in EventStoreDB up to 24.x. */
export const maxAppendBytes = 1024 * 1024;

/** An error on its way to a client: gRPC code, text and trailers. */
export interface Failure {
  readonly code: grpc.status;
  readonly details: string;
  readonly metadata: grpc.Metadata;
}

/** Trailers hold printable ASCII only; the rest of a name is percent-encoded. */
const toAscii = (text: string): string => text.replace(/[^\x20-\x7e]+/gu, (part) => encodeURIComponent(part));

const failure = (
  code: grpc.status,
  details: string,
  exception?: string,
  keys: Record<string, string> = {},
): Failure => {
  const metadata = new grpc.Metadata();
  if (exception !== undefined) metadata.set('exception', exception);
  for (const [key, value] of Object.entries(keys)) metadata.set(key, toAscii(value));
  return { code, details, metadata };
};

/** Numbers that stand for an expected version in trailers. */
const versionNumber = (expected: Expected): string =>
  expected === 'any' ? '-2' : expected === 'stream-exists' ? '-4' : expected.toString();

export const invalidArgument = (details: string): Failure => failure(grpc.status.INVALID_ARGUMENT, details);
export const unavailable = (details: string): Failure => failure(grpc.status.UNAVAILABLE, details);
export const internal = (details: string): Failure => failure(grpc.status.INTERNAL, details);

export const accessDenied = (): Failure =>
  failure(grpc.status.PERMISSION_DENIED, 'Access Denied', 'access-denied');
export const unauthenticated = (details: string): Failure =>
  failure(grpc.status.UNAUTHENTICATED, details, 'access-denied');

export const streamDeleted = (stream: string): Failure =>
  failure(grpc.status.FAILED_PRECONDITION, `Event stream '${stream}' is deleted.`, 'stream-deleted', {
    'stream-name': stream,
  });

export const wrongExpectedVersion = (stream: string, expected: Expected, current: bigint): Failure =>
  failure(
    grpc.status.FAILED_PRECONDITION,
    `Append failed due to WrongExpectedVersion. Stream: ${stream}, Expected version: ${versionNumber(expected)}, Actual version: ${current}`,
    'wrong-expected-version',
    // Without an actual version the client says "no stream".
    {
      'stream-name': stream,
      'expected-version': versionNumber(expected),
      ...(current < 0n ? {} : { 'actual-version': current.toString() }),
    },
  );

export const appendTooLarge = (): Failure =>
  failure(
    grpc.status.INVALID_ARGUMENT,
    `Maximum Append Size of ${maxAppendBytes} Exceeded.`,
    'maximum-append-size-exceeded',
    {
      'maximum-append-size': String(maxAppendBytes),
    },
  );

export const missingMetadata = (missing: readonly string[]): Failure =>
  failure(
    grpc.status.INVALID_ARGUMENT,
    `Required Metadata Properties Missing: ${missing.join(', ')}`,
    'missing-required-metadata-property',
    {
      'required-metadata-properties': 'type,content-type',
    },
  );

/** Failures of persistent subscriptions: all name the stream and the group. */
const persistent =
  (code: grpc.status, exception: string, text: (stream: string, group: string, reason: string) => string) =>
  (stream: string, group: string, reason = ''): Failure =>
    failure(code, text(stream, group, reason), exception, {
      'stream-name': stream,
      'group-name': group,
      ...(reason === '' ? {} : { reason }),
    });

export const groupExists = persistent(
  grpc.status.ALREADY_EXISTS,
  'persistent-subscription-exists',
  (stream, group) => `Subscription group ${group} on stream ${stream} exists.`,
);
export const groupDoesNotExist = persistent(
  grpc.status.NOT_FOUND,
  'persistent-subscription-does-not-exist',
  (stream, group) => `Subscription group ${group} on stream ${stream} does not exist.`,
);
export const groupFailed = persistent(
  grpc.status.INTERNAL,
  'persistent-subscription-failed',
  (stream, group, reason) => `Subscription group ${group} on stream ${stream} failed: '${reason}'`,
);
export const groupDropped = persistent(
  grpc.status.CANCELLED,
  'persistent-subscription-dropped',
  (stream, group, reason) => `Subscription group ${group} on stream ${stream} was dropped. ${reason}`,
);
export const groupFull = persistent(
  grpc.status.FAILED_PRECONDITION,
  'maximum-subscribers-reached',
  (stream, group) => `Maximum subscriptions reached for subscription group ${group} on stream ${stream}.`,
);

/** The failure of a write that was not done. */
export const writeFailure = (
  stream: string,
  expected: Expected,
  outcome: Extract<WriteOutcome, { done: false }>,
): Failure => {
  switch (outcome.because) {
    case 'wrong-expected-version':
      return wrongExpectedVersion(stream, expected, outcome.current);
    case 'stream-deleted':
      return streamDeleted(stream);
    case 'access-denied':
      return accessDenied();
    case 'unavailable':
      return unavailable(outcome.detail);
    case 'full':
      return failure(grpc.status.RESOURCE_EXHAUSTED, outcome.detail);
    case 'failed':
      return internal(outcome.detail);
  }
};

/** Whether something thrown is already a failure. */
export const isFailure = (thrown: unknown): thrown is Failure =>
  typeof thrown === 'object' &&
  thrown !== null &&
  'metadata' in thrown &&
  thrown.metadata instanceof grpc.Metadata &&
  'code' in thrown;

/** Any thrown thing as a failure: what is not one already means that PostgreSQL could not answer. */
export const asFailure = (thrown: unknown): Failure =>
  isFailure(thrown) ? thrown : unavailable(thrown instanceof Error ? thrown.message : String(thrown));
