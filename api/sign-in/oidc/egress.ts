/**
 * How Muster calls an identity provider, whose address a tenant's administrator names: over https, at public addresses
 * only, without redirects, for a bounded time and size. Called by provider.ts.
 */
import { type LookupAddress, lookup } from 'node:dns';
import { BlockList, isIP, type LookupFunction } from 'node:net';
import type { CustomFetch } from 'openid-client';
import { Agent, type Dispatcher, request } from 'undici';
import { MusterError } from '../../../platform/errors.ts';
import { isDenied } from '../../../platform/ldap/address.ts';
import { isWithin } from '../../address.ts';

/** Networks of an organisation (RFC 1918, 4193, 6598) and others without anybody public in them (RFC 6890). */
const inner = new BlockList();
for (const [network, prefix] of [
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
] as const)
  inner.addSubnet(network, prefix, 'ipv4');
inner.addSubnet('fc00::', 7, 'ipv6');
inner.addSubnet('fec0::', 10, 'ipv6');

/** Whether an identity provider may be there: at a public address, or one that the operator allows. */
export const isReachable = (address: string, allowed: readonly string[]): boolean =>
  isWithin(address, allowed) ||
  !(isDenied(address) || inner.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4'));

const timeoutMs = 5000;
/** Metadata and keys are a few kilobytes; those of the largest providers some tens. */
const mostBytes = 512 * 1024;

const refused = (host: string): MusterError =>
  new MusterError('identity-provider-refused', `${host} is no address at which an identity provider may be`);

/** Resolves a name once: the answer that is checked is the one that is connected to. */
const lookupAllowed =
  (allowed: readonly string[]): LookupFunction =>
  (host, options, answer) =>
    lookup(host, { ...options, all: true }, (error, found: LookupAddress[]) => {
      if (error) return answer(error, '');
      const reachable = found.filter(({ address }) => isReachable(address, allowed));
      const [first] = reachable;
      if (!first) return answer(refused(host), '');
      if (options.all) return answer(null, reachable);
      answer(null, first.address, first.family);
    });

const readBounded = async (body: Dispatcher.ResponseData['body']): Promise<Buffer> => {
  const pieces: Buffer[] = [];
  let sizeBytes = 0;
  for await (const piece of body) {
    sizeBytes += piece.length;
    if (sizeBytes > mostBytes)
      throw new MusterError('identity-provider-refused', `its answer is longer than ${mostBytes} bytes`);
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
};

/** Throws `identity-provider-refused` unless the address may be called at all. */
export const requireHttps = (url: string, what: string): URL => {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (parsed?.protocol !== 'https:' || parsed.username !== '' || parsed.password !== '')
    throw new MusterError('identity-provider-refused', `${what} is no https address`);
  return parsed;
};

/**
 * A fetch for openid-client. `allowed` are addresses and ranges besides public ones; `caCertificate` takes the place
 * of the public authorities. Every call has a connection of its own: there is nothing to close.
 */
export const openEgress = ({
  allowed,
  caCertificate,
}: {
  readonly allowed: readonly string[];
  readonly caCertificate: string | null;
}): CustomFetch => {
  const dispatcher = new Agent({
    connect: {
      timeout: timeoutMs,
      lookup: lookupAllowed(allowed),
      minVersion: 'TLSv1.2',
      ...(caCertificate === null ? {} : { ca: caCertificate }),
    },
    headersTimeout: timeoutMs,
    bodyTimeout: timeoutMs,
    maxResponseSize: mostBytes,
    // Without keep-alive.
    pipelining: 0,
  });
  return async (url, { method, headers, body, signal }) => {
    const { hostname } = requireHttps(url, 'an endpoint');
    const host = hostname.replace(/^\[|\]$/g, '');
    // An address that is no name is connected to without being looked up.
    if (isIP(host) !== 0 && !isReachable(host, allowed)) throw refused(host);
    const answer = await request(url, {
      method: method as Dispatcher.HttpMethod,
      // Compressed, a small answer could be a large one.
      headers: { ...headers, 'accept-encoding': 'identity' },
      body: body instanceof URLSearchParams ? body.toString() : ((body as string | undefined) ?? null),
      ...(signal ? { signal } : {}),
      dispatcher,
    });
    const bytes = await readBounded(answer.body);
    const plain = Object.entries(answer.headers).flatMap(([name, value]) =>
      value === undefined ? [] : [[name, String(value)] as [string, string]],
    );
    const empty = [204, 205, 304].includes(answer.statusCode);
    return new Response(empty ? null : new Uint8Array(bytes), { status: answer.statusCode, headers: plain });
  };
};
