/**
 * Who a client is when balancers stand in between: their PROXY headers and X-Forwarded-For are believed when they come
 * from `trustedProxies`, and from nobody else. Made by instance.ts; asked by gate.ts and listener.ts.
 */

import { BlockList, isIP, type Server, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { Server as TlsServer } from 'node:tls';
import { type ProxyHeader, readProxyHeader } from './proxy-protocol.ts';

/** Knows the addresses of the clients of one instance. */
export interface ClientAddresses {
  /** The client of a request; `forwardedFor` is the X-Forwarded-For it came with. Null when the socket is gone. */
  readonly of: (socket: Duplex, forwardedFor?: string | undefined) => string | null;
  /** Makes `server` read a PROXY header off each connection before anything else, TLS included. */
  readonly takeProxyHeaders: (server: Server, parts: TakeParts) => void;
}

export interface TakeParts {
  /** Time for the header to arrive whole. */
  readonly timeoutMs: number;
  /** Told why a connection is closed without an answer. */
  readonly onRefused: (address: string | null, problem: string, bytesIn: number) => void;
}

/** IPv4 inside IPv6, as a socket that listens on both shows it, in the spelling of IPv4. */
const plain = (address: string): string => address.replace(/^::ffff:(?=\d+\.\d+\.\d+\.\d+$)/i, '');

const listOf = (ranges: readonly string[]): BlockList => {
  const list = new BlockList();
  for (const range of ranges) {
    const [address = '', prefix] = range.split('/');
    const family = isIP(address) === 6 ? 'ipv6' : 'ipv4';
    if (prefix === undefined) list.addAddress(address, family);
    else list.addSubnet(address, Number(prefix), family);
  }
  return list;
};

/** One hop of X-Forwarded-For, which some balancers write with a port; null when it is no address. */
const hopOf = (text: string): string | null => {
  const [, bracketed, dotted] = /^(?:\[([0-9A-Fa-f:.]+)\](?::\d+)?|(\d+(?:\.\d+){3}):\d+)$/.exec(text) ?? [];
  const address = bracketed ?? dotted ?? text;
  return isIP(address) === 0 ? null : plain(address);
};

/** A connection as both its raw socket and the TLS socket over it show it. */
const tupleOf = (socket: Socket): string =>
  `${socket.remoteAddress} ${socket.remotePort} ${socket.localAddress} ${socket.localPort}`;

const addressOf = (socket: Duplex): string | null => {
  const address = 'remoteAddress' in socket ? (socket as Socket).remoteAddress : undefined;
  return address === undefined ? null : plain(address);
};

/** Addresses behind these balancers, given as addresses and CIDR ranges. */
export const openClientAddresses = (trustedProxies: readonly string[]): ClientAddresses => {
  const trusted = listOf(trustedProxies);
  const isTrusted = (address: string): boolean =>
    trustedProxies.length > 0 && trusted.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4');
  /** What PROXY headers said, or the connection itself; a TLS socket does not show which raw socket is below it. */
  const said = new WeakMap<Duplex, string>();
  const saidByTuple = new Map<string, string>();

  const note = (socket: Socket, source: string): void => {
    const [tuple, address] = [tupleOf(socket), plain(source)];
    said.set(socket, address);
    saidByTuple.set(tuple, address);
    socket.once('close', () => saidByTuple.delete(tuple));
  };

  /** A connection's own address: asked for each of its requests, it does not change. */
  const noteOwn = (socket: Duplex): string | null => {
    const address = addressOf(socket);
    if (address !== null) said.set(socket, address);
    return address;
  };

  const takeProxyHeaders = (server: Server, { timeoutMs, onRefused }: TakeParts): void => {
    const next = server.listeners('connection');
    server.removeAllListeners('connection');
    server.on('connection', (socket: Socket) => {
      const address = addressOf(socket);
      const refuse = (problem: string): void => {
        onRefused(address, problem, socket.bytesRead);
        socket.destroy();
      };
      if (address === null || !isTrusted(address)) return refuse('the address is none of trustedProxies');
      awaitHeader(socket, timeoutMs, refuse, (source) => {
        if (source !== null) note(socket, source);
        for (const listener of next) listener.call(server, socket);
        // The TLS server reads below the stream and takes what was put back by itself.
        if (!(server instanceof TlsServer)) socket.resume();
      });
    });
    server.prependListener('secureConnection', (socket: Socket) => {
      const source = saidByTuple.get(tupleOf(socket));
      if (source !== undefined) said.set(socket, source);
    });
  };

  return {
    takeProxyHeaders,
    of: (socket, forwardedFor) => {
      let client = said.get(socket) ?? noteOwn(socket);
      if (client === null || !isTrusted(client)) return client;
      const hops = (forwardedFor ?? '').split(',').map((hop) => hop.trim());
      // From right to left: each hop was written by the one after it, and counts while that one is trusted.
      while (client !== null && isTrusted(client)) {
        const hop = hopOf(hops.pop() ?? '');
        if (hop === null) break;
        client = hop;
      }
      return client;
    },
  };
};

/** Reads the header, puts back what follows it and hands over a paused socket; `refuse` destroys it. */
const awaitHeader = (
  socket: Socket,
  timeoutMs: number,
  refuse: (problem: string) => void,
  proceed: (source: string | null) => void,
): void => {
  let head: Buffer = Buffer.alloc(0);
  const end = (): void => {
    clearTimeout(timer);
    socket.off('data', take).off('close', end).off('error', ignore).off('end', leave);
  };
  const fail = (problem: string): void => {
    end();
    socket.on('error', ignore);
    refuse(problem);
  };
  const ignore = (): void => {};
  const leave = (): void => {
    if (head.length > 0) return void fail('the connection ended before its PROXY header');
    // A balancer that only looks whether somebody listens.
    end();
    socket.destroy();
  };
  const timer = setTimeout(() => fail('the PROXY header did not arrive in time'), timeoutMs);
  const take = (chunk: Buffer): void => {
    head = head.length === 0 ? chunk : Buffer.concat([head, chunk]);
    const header = readProxyHeader(head);
    if (header.kind === 'partial') return;
    if (header.kind === 'unsound') fail(header.problem);
    else proceedFrom(header);
  };
  const proceedFrom = (header: Extract<ProxyHeader, { kind: 'read' }>): void => {
    end();
    socket.pause();
    const rest = head.subarray(header.lengthBytes);
    if (rest.length > 0) socket.unshift(rest);
    proceed(header.source);
  };
  socket.on('data', take).on('close', end).on('error', ignore).on('end', leave);
};
