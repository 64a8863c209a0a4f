/**
 * `POST /proxy/v1/ask`: what is known now of one EAS id, for a proxy that does not know it yet: a phone that has just
 * enrolled works at once, wherever the feed is. Called by api/proxy/main.ts; its other end is proxy/ask.ts.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { z } from 'zod';
import { MusterError } from '../../platform/errors.ts';
import { signLine } from '../../platform/signed-line.ts';
import { mailVerdictsOfEasId } from '../../projections/mail.ts';
import type { IdentifiedProxy } from '../identify/proxy.ts';
import type { RouteDeclaration } from '../route.ts';
import { readBody } from './body.ts';
import { type ProxyFeedParts, verdictRow } from './feed.ts';

/** Where it is on the listener for proxies, and what its caller needs. */
export const proxyAskRoute = {
  methods: ['POST'],
  path: '/proxy/v1/ask',
  access: 'proxy',
} as const satisfies RouteDeclaration;

const question = z.strictObject({
  easDeviceIds: z.array(z.string().min(1).max(64)).min(1).max(4),
  nonce: z.string().regex(/^[\w-]{16,64}$/),
});
const bodyBytes = 1_024;
/** How long an answer may wait for events that are stored, but not projected yet. */
const waitMs = 1_000;

/** Answers a signed line of `{ tenantId, nonce, verdicts }`, the last empty when the id is unknown. */
export const answerQuestion = async (
  { deps, waiter, signingKey }: Pick<ProxyFeedParts, 'deps' | 'waiter' | 'signingKey'>,
  { tenantId }: IdentifiedProxy,
  req: IncomingMessage,
  res: ServerResponse,
): Promise<void> => {
  const asked = question.safeParse(await readBody(req, bodyBytes));
  if (!asked.success)
    throw new MusterError('invalid-input', '1 to 4 EAS ids and a nonce are needed', {
      field: 'easDeviceIds',
    });
  await waiter.reached(await deps.store.lastPosition(), waitMs);
  const found = await Promise.all(
    asked.data.easDeviceIds.map((id) => mailVerdictsOfEasId(deps.sql, tenantId, id)),
  );
  const { nonce } = asked.data;
  const text = JSON.stringify({ tenantId, nonce, verdicts: found.flat().map(verdictRow) });
  res
    .writeHead(200, { 'content-type': 'text/plain; charset=utf-8', 'cache-control': 'no-store' })
    .end(signLine(signingKey, text));
};
