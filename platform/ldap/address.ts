/**
 * Where a directory may be: a tenant's administrator names its address, so it must not lead the server to itself or
 * to a cloud's metadata service. Called by client.ts.
 */
import { lookup } from 'node:dns/promises';
import { BlockList, isIP } from 'node:net';
import { MusterError } from '../errors.ts';

const denied = new BlockList();
for (const [network, prefix] of [
  ['0.0.0.0', 8],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['224.0.0.0', 3],
] as const)
  denied.addSubnet(network, prefix, 'ipv4');
for (const [network, prefix] of [
  ['::', 127],
  ['fe80::', 10],
  ['ff00::', 8],
  // NAT64 and 6to4 hold an IPv4 address, which might be one of the above.
  ['64:ff9b::', 96],
  ['2002::', 16],
] as const)
  denied.addSubnet(network, prefix, 'ipv6');
// Metadata services outside the link-local range: Alibaba, Azure, Oracle, AWS.
for (const address of ['100.100.100.200', '168.63.129.16', '192.0.0.192']) denied.addAddress(address, 'ipv4');
denied.addAddress('fd00:ec2::254', 'ipv6');

/** Whether an address is loopback, link-local, multicast, reserved or a metadata service. */
export const isDenied = (address: string): boolean =>
  denied.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4');

/** Parts of `ldap(s)://host:port`. */
export interface Endpoint {
  readonly secure: boolean;
  /** As it was written, for the certificate; an IPv6 address without brackets. */
  readonly host: string;
  readonly port: number;
}

/** The parts of an address that `directoryUrl` accepted. */
export const endpointOf = (url: string): Endpoint => {
  const [, scheme, host, port] = /^(ldaps?):\/\/(\[[^\]]+\]|[^:/]+)(?::(\d+))?$/.exec(url) as unknown as [
    string,
    string,
    string,
    string | undefined,
  ];
  const secure = scheme === 'ldaps';
  return { secure, host: host.replace(/^\[|\]$/g, ''), port: Number(port ?? (secure ? 636 : 389)) };
};

/**
 * The one IP address to connect to: the name is resolved once, and it is that answer which is connected to. Throws
 * `directory-refused` for a denied address and `directory-unavailable` when the name does not resolve.
 */
export const addressOf = async ({ host }: Endpoint, allowLoopback: boolean): Promise<string> => {
  const found = await lookup(host, { all: true }).catch((cause: unknown) => {
    throw new MusterError('directory-unavailable', `the name ${host} does not resolve`, { cause });
  });
  const allowed = found.find(({ address }) => allowLoopback || !isDenied(address));
  if (!allowed)
    throw new MusterError('directory-refused', `${host} is no address at which a directory may be`);
  return allowed.address;
};
