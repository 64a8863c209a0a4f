/**
 * A loopback FCM: speaks the wire format of HTTP v1 and of Google's token endpoint, and refuses what they refuse.
 * Called by tests of workers/; sources: firebase.google.com/docs/reference/fcm/rest/v1, RFC 7523.
 */
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { jwtVerify } from 'jose';
import { z } from 'zod';
import type { Clock } from '../../platform/clock.ts';

const projectId = 'muster-test';
const clientEmail = 'muster@muster-test.iam.gserviceaccount.com';
const keyId = 'key-1';
const scope = 'https://www.googleapis.com/auth/firebase.messaging';
const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });

/** The messages that FCM takes, as far as Muster uses them; `strictObject`: unknown fields are refused. */
const sendRequest = z.strictObject({
  message: z.strictObject({
    token: z.string().min(1),
    data: z
      .record(
        z.string().refine((key) => !/^(from|gcm|google)/.test(key)),
        z.string(),
      )
      .optional(),
    android: z
      .strictObject({
        priority: z.enum(['NORMAL', 'HIGH']).optional(),
        collapse_key: z.string().optional(),
        ttl: z
          .string()
          .regex(/^\d+(\.\d+)?s$/)
          .refine((ttl) => Number.parseFloat(ttl) <= 2_419_200)
          .optional(),
      })
      .optional(),
  }),
});
export type FcmMessage = z.infer<typeof sendRequest>['message'];

/** A reply that the next request gets instead of its own. */
export interface FcmFailure {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: unknown;
}

/** The state of a registration token; unknown tokens are alive. */
export type TokenFate = 'alive' | 'unregistered' | 'sender-mismatch' | 'malformed' | 'malformed-named';

export interface FcmServer {
  /** For MUSTER_FCM_ENDPOINT. */
  readonly endpoint: string;
  /** For MUSTER_FCM_SERVICE_ACCOUNT. */
  readonly serviceAccountFile: string;
  /** Messages taken, in order. */
  readonly taken: FcmMessage[];
  /** How many requests reached messages:send, taken or not, and how many access tokens were given out. */
  readonly counts: { sends: number; tokens: number };
  /** Resolves once `count` messages have been taken in all. */
  untilTaken(count: number): Promise<void>;
  /** Resolves once `count` requests have reached messages:send in all. */
  untilSends(count: number): Promise<void>;
  setFate(token: string, fate: TokenFate): void;
  /** The next request to messages:send, or for an access token, gets this reply. */
  failNext(what: 'send' | 'token', failure: FcmFailure): void;
  /** Every access token given out so far is refused with 401. */
  revokeAccess(): void;
  /** From now on requests wait before they are answered, until the returned function is called. */
  hold(): () => void;
  stop(): Promise<void>;
}

const fcmError = 'type.googleapis.com/google.firebase.fcm.v1.FcmError';
const badRequest = 'type.googleapis.com/google.rpc.BadRequest';

const errorBody = (code: number, status: string, message: string, details: unknown[] = []): unknown => ({
  error: { code, message, status, details },
});

/** An error of FCM's own, with its errorCode. */
export const fcmFailure = (code: number, status: string, errorCode: string): FcmFailure => ({
  status: code,
  body: errorBody(code, status, 'The request failed.', [{ '@type': fcmError, errorCode }]),
});

const fates: Readonly<Record<Exclude<TokenFate, 'alive'>, FcmFailure>> = {
  unregistered: fcmFailure(404, 'NOT_FOUND', 'UNREGISTERED'),
  'sender-mismatch': fcmFailure(403, 'PERMISSION_DENIED', 'SENDER_ID_MISMATCH'),
  malformed: {
    status: 400,
    body: errorBody(400, 'INVALID_ARGUMENT', 'The registration token is not a valid FCM registration token', [
      { '@type': fcmError, errorCode: 'INVALID_ARGUMENT' },
    ]),
  },
  'malformed-named': {
    status: 400,
    body: errorBody(400, 'INVALID_ARGUMENT', 'Request contains an invalid argument.', [
      { '@type': fcmError, errorCode: 'INVALID_ARGUMENT' },
      {
        '@type': badRequest,
        fieldViolations: [{ field: 'message.token', description: 'Invalid registration token' }],
      },
    ]),
  },
};

const invalidPayload = (field: string): FcmFailure => ({
  status: 400,
  body: errorBody(400, 'INVALID_ARGUMENT', `Invalid value at '${field}'`, [
    { '@type': badRequest, fieldViolations: [{ field, description: `Invalid value at '${field}'` }] },
  ]),
});

const readBody = async (request: IncomingMessage): Promise<string> => {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
};

const answer = (response: ServerResponse, { status, headers = {}, body }: FcmFailure): void => {
  response.writeHead(status, { 'content-type': 'application/json; charset=UTF-8', ...headers });
  response.end(body === undefined ? '' : JSON.stringify(body));
};

/** Starts one on a free port. `clock` must be the one the client signs with. */
export const startFcm = async (clock: Clock = Date.now): Promise<FcmServer> => {
  const folder = mkdtempSync(join(tmpdir(), 'muster-fcm-'));
  const serviceAccountFile = join(folder, 'service-account.json');
  const taken: FcmMessage[] = [];
  const counts = { sends: 0, tokens: 0 };
  const tokenFates = new Map<string, TokenFate>();
  const failures = { send: [] as FcmFailure[], token: [] as FcmFailure[] };
  let accessTokens = new Map<string, number>();
  let held: Promise<void> = Promise.resolve();
  const waiting = new Set<() => void>();
  let tokenUri = '';

  const until = (holds: () => boolean): Promise<void> =>
    new Promise((resolve) => {
      const check = () => {
        if (!holds()) return;
        waiting.delete(check);
        resolve();
      };
      waiting.add(check);
      check();
    });

  const giveAccess = async (request: IncomingMessage): Promise<FcmFailure> => {
    const form = new URLSearchParams(await readBody(request));
    if (form.get('grant_type') !== 'urn:ietf:params:oauth:grant-type:jwt-bearer')
      return { status: 400, body: { error: 'unsupported_grant_type' } };
    try {
      const { payload, protectedHeader } = await jwtVerify(form.get('assertion') ?? '', publicKey, {
        algorithms: ['RS256'],
        issuer: clientEmail,
        audience: tokenUri,
        currentDate: new Date(clock()),
        requiredClaims: ['iat', 'exp', 'scope'],
      });
      const lifetime = (payload.exp as number) - (payload.iat as number);
      if (payload['scope'] !== scope || lifetime > 3600 || protectedHeader.kid !== keyId) throw new Error();
    } catch {
      return { status: 400, body: { error: 'invalid_grant', error_description: 'Invalid JWT Signature.' } };
    }
    counts.tokens += 1;
    const token = `access-${counts.tokens}`;
    accessTokens.set(token, clock() + 3_599_000);
    return { status: 200, body: { access_token: token, expires_in: 3599, token_type: 'Bearer' } };
  };

  const takeMessage = async (request: IncomingMessage): Promise<FcmFailure> => {
    counts.sends += 1;
    for (const check of waiting) check();
    const body = await readBody(request);
    await held;
    const failure = failures.send.shift();
    if (failure) return failure;
    const bearer = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1] ?? '';
    if ((accessTokens.get(bearer) ?? 0) <= clock())
      return { status: 401, body: errorBody(401, 'UNAUTHENTICATED', 'Invalid authentication credentials.') };
    const parsed = sendRequest.safeParse(JSON.parse(body));
    if (!parsed.success) return invalidPayload((parsed.error.issues[0]?.path ?? []).join('.') || 'message');
    const { message } = parsed.data;
    const fate = tokenFates.get(message.token) ?? 'alive';
    if (fate !== 'alive') return fates[fate];
    taken.push(message);
    for (const check of waiting) check();
    return { status: 200, body: { name: `projects/${projectId}/messages/0:${taken.length}` } };
  };

  const server = createServer(async (request, response) => {
    const path = `${request.method} ${request.url}`;
    if (path === 'POST /token') answer(response, failures.token.shift() ?? (await giveAccess(request)));
    else if (path === `POST /v1/projects/${projectId}/messages:send`)
      answer(response, await takeMessage(request));
    else answer(response, { status: 404, body: errorBody(404, 'NOT_FOUND', 'No such method.') });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  tokenUri = `${endpoint}/token`;
  writeFileSync(
    serviceAccountFile,
    JSON.stringify({
      type: 'service_account',
      project_id: projectId,
      private_key_id: keyId,
      private_key: privateKey.export({ type: 'pkcs8', format: 'pem' }),
      client_email: clientEmail,
      client_id: '1',
      token_uri: tokenUri,
    }),
  );
  return {
    endpoint,
    serviceAccountFile,
    taken,
    counts,
    untilTaken: (count) => until(() => taken.length >= count),
    untilSends: (count) => until(() => counts.sends >= count),
    setFate: (token, fate) => tokenFates.set(token, fate),
    failNext: (what, failure) => failures[what].push(failure),
    revokeAccess: () => {
      accessTokens = new Map();
    },
    hold() {
      let release = () => {};
      held = new Promise((resolve) => {
        release = resolve;
      });
      return release;
    },
    async stop() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
      rmSync(folder, { recursive: true, force: true });
    },
  };
};
