/**
 * `POST /proxy/v1/status`: a proxy tells how it is and whom it refused. Its state replaces the one before; refusals
 * become events, already counted together by the proxy. Called by api/app.ts; its other end is proxy/report.ts.
 */
import express, { type RequestHandler } from 'express';
import { z } from 'zod';
import { type MailDenial, mailDenial } from '../../domain/access/access.ts';
import { accessDecider } from '../../domain/access/decide.ts';
import { isoTime } from '../../platform/clock.ts';
import type { Deps } from '../../platform/deps.ts';
import { MusterError } from '../../platform/errors.ts';
import { bearerToken } from '../credentials.ts';
import { identifyProxy } from '../identify/proxy.ts';
import type { RouteDeclaration } from '../route.ts';
import { proxyState, saveProxyState } from '../vault/proxy-states.ts';

export const proxyStatusRoute = {
  methods: ['POST'],
  path: '/proxy/v1/status',
  access: 'proxy',
} as const satisfies RouteDeclaration;

/** A proxy counts no more kinds of refusals than this in ten minutes. */
const maxDenials = 100;
const bodyBytes = 256 * 1024;

const report = z.object({
  /** Chosen by the proxy; a report that is sent again is recorded once. */
  reportId: z.uuid(),
  state: proxyState,
  denials: z.array(z.unknown()).max(maxDenials),
  others: z.int().min(0),
});

interface Report extends Omit<z.infer<typeof report>, 'denials'> {
  readonly denials: readonly MailDenial[];
}

/** Phones choose the texts of a refusal: one that the log does not take is only counted, and hides no others. */
const reportOf = (body: unknown): Report => {
  const parsed = report.safeParse(body);
  if (parsed.success) {
    const denials = parsed.data.denials.flatMap((given) => mailDenial.safeParse(given).data ?? []);
    return {
      ...parsed.data,
      denials,
      others: parsed.data.others + parsed.data.denials.length - denials.length,
    };
  }
  const [issue] = parsed.error.issues;
  throw new MusterError('invalid-input', issue?.message ?? '', { field: issue?.path.join('.') ?? '' });
};

/** The handlers: who it is, then the body, then what to do with it. */
export const proxyStatus = (
  deps: Pick<Deps, 'handler' | 'sql' | 'clock'>,
): readonly [RequestHandler, RequestHandler, RequestHandler] => [
  async (req, res, next) => {
    const credential = await identifyProxy(deps, bearerToken(req));
    if (!credential) throw new MusterError('unauthenticated', 'a proxy token is needed');
    res.locals['proxy'] = credential;
    next();
  },
  express.json({ limit: bodyBytes }),
  async (req, res) => {
    const { tenantId, proxyId } = res.locals['proxy'] as NonNullable<
      Awaited<ReturnType<typeof identifyProxy>>
    >;
    const { reportId, state, denials, others } = reportOf(req.body);
    const now = deps.clock();
    await saveProxyState(deps.sql, { tenantId, proxyId }, state, now);
    if (denials.length > 0 || others > 0) {
      await deps.handler.handle(
        accessDecider,
        { tenantId, id: proxyId },
        { type: 'RecordMailDenials', denials, others, now: isoTime(now), reportId },
        { actor: { kind: 'proxy', id: proxyId }, commandId: reportId },
      );
    }
    res.status(204).end();
  },
];
