/**
 * Wakes Android devices by Firebase Cloud Messaging, HTTP v1 (firebase.google.com/docs/reference/fcm/rest/v1).
 * Listed in index.ts; called by workers/wake-device.ts.
 */
import { Agent, type Dispatcher, request } from 'undici';
import { z } from 'zod';
import type { PushAddress } from '../../domain/device/device.ts';
import { MusterError } from '../../platform/errors.ts';
import { isSafeUrl, openTokenSource, readServiceAccount } from './google-token.ts';
import type { PushParts, PushProvider, PushProviderEntry, WakeMessage } from './provider.ts';

const scope = 'https://www.googleapis.com/auth/firebase.messaging';
const timeoutMs = 10_000;
const connections = 8;
const maximumReplyBytes = 65_536;
/** How long to leave FCM alone after 429 without Retry-After: its documentation asks for a minute. */
const quotaPauseMs = 60_000;

/** The part of an error reply that decides what to do (google.rpc.Status with FcmError and BadRequest details). */
const errorReply = z.object({
  error: z.object({
    message: z.string().catch(''),
    status: z.string().catch(''),
    details: z
      .array(
        z.object({
          errorCode: z.string().optional().catch(undefined),
          fieldViolations: z
            .array(z.object({ field: z.string() }))
            .optional()
            .catch(undefined),
        }),
      )
      .catch([]),
  }),
});

interface Reason {
  /** FcmError's code ("UNREGISTERED"), else the canonical status ("NOT_FOUND"), else empty. */
  readonly code: string;
  readonly message: string;
  /** Fields that a BadRequest names ("message.token"). */
  readonly fields: readonly string[];
}

const parseJson = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
};

const reasonOf = (text: string): Reason => {
  const parsed = errorReply.safeParse(parseJson(text));
  if (!parsed.success) return { code: '', message: '', fields: [] };
  const { message, status, details } = parsed.data.error;
  return {
    code: details.find((detail) => detail.errorCode !== undefined)?.errorCode ?? status,
    message,
    fields: details.flatMap((detail) => detail.fieldViolations ?? []).map(({ field }) => field),
  };
};

/** INVALID_ARGUMENT means the payload or the token; only the named field or, without one, the message tells. */
const blamesToken = ({ code, fields, message }: Reason): boolean =>
  code === 'INVALID_ARGUMENT' &&
  (fields.length > 0 ? fields.includes('message.token') : /registration token is not/i.test(message));

/** The time named by Retry-After in seconds or as a date (RFC 9110 10.2.3), as ms from `now`. */
export const retryAfterOf = (header: string | string[] | undefined, now: number): number | undefined => {
  const value = Array.isArray(header) ? header[0] : header;
  if (value === undefined) return undefined;
  if (/^\d{1,9}$/.test(value)) return Number(value) * 1000;
  const at = Date.parse(value);
  return Number.isNaN(at) ? undefined : Math.max(0, at - now);
};

/** What an error reply means for the device, the operator and the next attempt. */
const faultOf = (status: number, text: string, retryAfterMs: number | undefined): MusterError => {
  const reason = reasonOf(text);
  const detail = `FCM answers ${status} ${reason.code}`.trimEnd();
  if (status === 429)
    return new MusterError('push-unavailable', detail, { retryAfterMs: retryAfterMs ?? quotaPauseMs });
  if (status >= 500) return new MusterError('push-unavailable', detail, { retryAfterMs });
  const dead =
    (status === 404 && reason.code === 'UNREGISTERED') ||
    (status === 403 && reason.code === 'SENDER_ID_MISMATCH') ||
    (status === 400 && blamesToken(reason));
  if (dead) return new MusterError('push-token-dead', detail);
  const about = reason.fields.length > 0 ? `: ${reason.fields.join(', ')}` : '';
  return new MusterError('push-rejected', `${detail}${about}`);
};

const messageOf = (token: string, { collapseKey, ttlSeconds }: WakeMessage): string =>
  JSON.stringify({
    message: {
      token,
      data: { type: 'wake' },
      android: { priority: 'HIGH', ttl: `${ttlSeconds}s`, collapse_key: collapseKey },
    },
  });

interface Reply {
  readonly status: number;
  readonly text: string;
  readonly retryAfterMs: number | undefined;
}

const openFcm = async ({ config, clock }: PushParts, file: string): Promise<PushProvider> => {
  if (!isSafeUrl(config.fcmEndpoint))
    throw new MusterError('config-invalid', 'MUSTER_FCM_ENDPOINT: must be https', { field: 'fcmEndpoint' });
  const account = await readServiceAccount(file);
  const dispatcher: Dispatcher = new Agent({
    connections,
    connect: { timeout: timeoutMs },
    headersTimeout: timeoutMs,
    bodyTimeout: timeoutMs,
    maxResponseSize: maximumReplyBytes,
  });
  const tokens = await openTokenSource(account, scope, { clock, dispatcher }).catch(
    async (error: unknown) => {
      await dispatcher.close();
      throw error;
    },
  );
  const url = new URL(`/v1/projects/${account.project_id}/messages:send`, config.fcmEndpoint);

  const post = async (accessToken: string, body: string): Promise<Reply> => {
    try {
      const reply = await request(url, {
        method: 'POST',
        headers: { authorization: `Bearer ${accessToken}`, 'content-type': 'application/json' },
        body,
        dispatcher,
      });
      const retryAfterMs = retryAfterOf(reply.headers['retry-after'], clock());
      return { status: reply.statusCode, text: await reply.body.text(), retryAfterMs };
    } catch (cause) {
      throw new MusterError('push-unavailable', 'FCM does not answer', { cause });
    }
  };

  const send = async ({ token }: PushAddress, message: WakeMessage): Promise<{ messageId: string }> => {
    const body = messageOf(token, message);
    let accessToken = await tokens.token();
    let reply = await post(accessToken, body);
    if (reply.status === 401) {
      // The access token was revoked or has expired early: once with a new one.
      tokens.forget(accessToken);
      accessToken = await tokens.token();
      reply = await post(accessToken, body);
    }
    if (reply.status !== 200) throw faultOf(reply.status, reply.text, reply.retryAfterMs);
    const sent = z.object({ name: z.string().min(1).max(300) }).safeParse(parseJson(reply.text));
    if (!sent.success) throw new MusterError('push-unavailable', 'FCM answers 200 without a message name');
    return { messageId: sent.data.name };
  };

  return { send, close: () => dispatcher.close() };
};

/** FCM's line of the registry: on when a service account file is configured. */
export const fcm: PushProviderEntry = {
  name: 'fcm',
  open: async (parts) =>
    parts.config.fcmServiceAccountFile === undefined
      ? { off: 'MUSTER_FCM_SERVICE_ACCOUNT is not set; these devices sync by interval' }
      : openFcm(parts, parts.config.fcmServiceAccountFile),
};
