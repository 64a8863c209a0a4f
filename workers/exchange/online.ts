/**
 * Cmdlets of Exchange Online over its REST endpoint, the one that Microsoft's own PowerShell module uses
 * (`/adminapi/beta/{organisation}/InvokeCommand`). Called by open.ts.
 */
import { z } from 'zod';
import type { ExchangeSettings } from '../../domain/exchange/exchange.ts';
import type { Clock } from '../../platform/clock.ts';
import { MusterError } from '../../platform/errors.ts';
import { newUuid } from '../../platform/new-id.ts';
import { type Argument, type Arguments, asLine, type Cmdlets, type Row, saysMissing } from './cmdlets.ts';
import { type Answer, type Dialled, dial } from './dial.ts';
import { openTokens, parsed } from './token.ts';

type Online = Extract<ExchangeSettings, { kind: 'online' }>;

const mostPages = 200;

const reply = z.object({
  value: z.array(z.record(z.string(), z.unknown())),
  '@odata.nextLink': z.string().max(10_000).optional(),
});

/** Exchange tells a hash table from other objects by its OData type. */
const encode = (value: Argument): unknown =>
  typeof value === 'object'
    ? {
        '@odata.type': '#Exchange.GenericHashTable',
        ...(value.add === undefined ? {} : { add: value.add }),
        ...(value.remove === undefined ? {} : { remove: value.remove }),
      }
    : value;

/** The body of a request for one cmdlet. */
export const commandBody = (cmdlet: string, args: Arguments): string =>
  JSON.stringify({
    CmdletInput: {
      CmdletName: cmdlet,
      Parameters: Object.fromEntries(Object.entries(args).map(([name, value]) => [name, encode(value)])),
    },
  });

const errorReply = z.object({
  error: z.object({
    message: z.string().optional(),
    details: z.array(z.object({ message: z.string().optional() })).optional(),
    innererror: z.object({ message: z.string().optional(), type: z.string().optional() }).optional(),
  }),
});

/** Everything that the body of an error says, to be searched; the first of it is shown. */
const reasonsIn = (text: string): readonly string[] => {
  const known = errorReply.safeParse(parsed(text));
  if (!known.success) return [];
  const { message, details, innererror } = known.data.error;
  return [
    ...(details ?? []).map((one) => one.message),
    innererror?.message,
    message,
    innererror?.type,
  ].filter((one): one is string => one !== undefined && one !== '');
};

const faultOf = (cmdlet: string, { status, text, retryAfterMs }: Answer): MusterError => {
  const reasons = reasonsIn(text);
  const detail = asLine(`${cmdlet}: ${status} ${reasons[0] ?? ''}`);
  const waits = retryAfterMs === undefined ? {} : { retryAfterMs };
  if (status === 429 || (status === 503 && retryAfterMs !== undefined))
    return new MusterError('exchange-throttled', detail, waits);
  if (status === 404 || reasons.some(saysMissing)) return new MusterError('mailbox-missing', detail);
  return new MusterError(status >= 500 ? 'exchange-unavailable' : 'exchange-refused', detail);
};

/** The path of a next page: at the server itself and below its own endpoint, since the token goes there too. */
const pathOfNext = (link: string, origin: string, path: string): string => {
  const url = URL.canParse(link) ? new URL(link) : undefined;
  if (url?.origin !== new URL(origin).origin || url.pathname !== path)
    throw new MusterError('exchange-refused', 'the next page is said to be somewhere else');
  return `${url.pathname}${url.search}`;
};

/** The mailbox that a request is routed by. */
const anchorOf = ({ Identity, Mailbox }: Arguments, settings: Online): string => {
  const named = Mailbox ?? Identity;
  return `UPN:${typeof named === 'string' && named.includes('@') ? named : settings.anchorMailbox}`;
};

const overServers = (
  settings: Online,
  secret: string,
  server: Dialled,
  login: Dialled,
  clock: Clock,
): Cmdlets => {
  const tokens = openTokens(settings, secret, login, clock);
  const path = `/adminapi/beta/${settings.organisation}/InvokeCommand`;
  const connectionId = newUuid();
  const post = async (to: string, args: Arguments, body: string): Promise<Answer> => {
    const send = async () =>
      server.post(
        to,
        {
          authorization: `Bearer ${await tokens.token()}`,
          'content-type': 'application/json; charset=utf-8',
          accept: 'application/json',
          'x-anchormailbox': anchorOf(args, settings),
          'x-responseformat': 'json',
          prefer: 'odata.maxpagesize=1000',
          'connection-id': connectionId,
        },
        body,
      );
    const answer = await send();
    if (answer.status !== 401) return answer;
    // The token may have been revoked before its time: one new one, not more.
    tokens.forget();
    return send();
  };
  return {
    async invoke(cmdlet, args) {
      const body = commandBody(cmdlet, args);
      const rows: Row[] = [];
      let to: string | undefined = path;
      for (let page = 0; to !== undefined; page += 1) {
        if (page >= mostPages) throw new MusterError('exchange-refused', `${cmdlet}: too many pages`);
        const answer: Answer = await post(to, args, body);
        // Cmdlets that answer nothing may do so without a body.
        if (answer.status === 204 || (answer.status === 200 && answer.text === '')) break;
        if (answer.status !== 200) throw faultOf(cmdlet, answer);
        const read = reply.safeParse(parsed(answer.text));
        if (!read.success)
          throw new MusterError('exchange-unavailable', `${cmdlet}: the answer is not understood`);
        rows.push(...read.data.value);
        const next: string | undefined = read.data['@odata.nextLink'];
        to = next === undefined ? undefined : pathOfNext(next, server.origin, path);
      }
      return rows;
    },
    async close() {
      await server.close();
      await login.close();
    },
  };
};

/** Opens Exchange Online for an organisation. */
export const openOnline = async (
  settings: Online,
  secret: string,
  { allowLoopback, clock }: { readonly allowLoopback: boolean; readonly clock: Clock },
): Promise<Cmdlets> => {
  const server = await dial(settings.host, settings, allowLoopback);
  const login = await dial(settings.loginHost, settings, allowLoopback).catch(async (error: unknown) => {
    await server.close();
    throw error;
  });
  return overServers(settings, secret, server, login, clock);
};
