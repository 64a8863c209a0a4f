/**
 * Who calls, and what they may do: the checks in front of the handlers of a server that serves over TLS.
 * Made by main.ts; used by every handler. A plain server has none, and its handlers then ask nothing.
 */
import type grpc from '@grpc/grpc-js';
import {
  type Action,
  administrators,
  type Caller,
  type DefaultAcls,
  hasRole,
  isAllowed,
  operators,
} from '../security/acl.ts';
import type { Credentials } from '../security/credentials.ts';
import type { Pair, StreamCache } from '../stream-cache.ts';
import { accessDenied, unauthenticated } from './failures.ts';

/** What the guard needs to know of a call. */
export interface GuardedCall {
  readonly metadata: grpc.Metadata;
  getPeer(): string;
}

/** The caller of one call, who is asked for again while a long call lasts. */
export interface Identity {
  /** The caller, or undefined for an anonymous one. Rejects with UNAUTHENTICATED for credentials that are wrong. */
  current(): Promise<Caller | undefined>;
}

export interface Guard {
  identify(call: GuardedCall): Identity;
  /** Whether the caller may do this with a stream whose metadata `pair` holds. */
  isAllowed(caller: Caller | undefined, action: Action, stream: string, pair: Pair): boolean;
  /** The same as a condition for the writer, which knows the metadata at the moment of the write. */
  writing(caller: Caller | undefined, action: Action, stream: string): (pair: Pair) => boolean;
  /** Throws access-denied unless the caller may do this with the stream. */
  require(caller: Caller | undefined, action: Action, stream: string): Promise<void>;
  /** Throws access-denied unless the caller manages the server. */
  requireOperator(caller: Caller | undefined): void;
}

interface Basic {
  readonly name: string;
  readonly password: string;
}

/** Basic credentials (RFC 7617); undefined without any. Throws UNAUTHENTICATED for what is not Basic. */
const readBasic = (metadata: grpc.Metadata): Basic | undefined => {
  const values = metadata.get('authorization');
  if (values.length === 0) return undefined;
  const encoded =
    values.length === 1 ? /^Basic +([A-Za-z0-9+/_=-]+)$/i.exec(String(values[0]))?.[1] : undefined;
  const text = encoded === undefined ? '' : Buffer.from(encoded, 'base64').toString('utf8');
  const colon = text.indexOf(':');
  if (colon < 0) throw unauthenticated('The credentials cannot be read');
  return { name: text.slice(0, colon), password: text.slice(colon + 1) };
};

/** `1.2.3.4:5` and `[::1]:5` without the port, which differs from connection to connection. */
const addressOf = (peer: string): string => peer.replace(/:\d+$/, '');

const rejections = {
  wrong: 'The user or the password is wrong',
  throttled: 'There were too many failed attempts; wait a minute',
} as const;

const anonymous: Identity = { current: () => Promise.resolve(undefined) };

export const openGuard = (parts: {
  cache: StreamCache;
  credentials: Credentials;
  defaults: () => DefaultAcls;
}): Guard => {
  const { cache, credentials, defaults } = parts;

  const identify = (call: GuardedCall): Identity => {
    let basic: Basic | undefined;
    try {
      basic = readBasic(call.metadata);
    } catch (failure) {
      return { current: () => Promise.reject(failure) };
    }
    if (!basic) return anonymous;
    const { name, password } = basic;
    const check = credentials.open(name, password, addressOf(call.getPeer()));
    return {
      current: async () => {
        const found = await check();
        if (typeof found === 'string') throw unauthenticated(rejections[found]);
        return found;
      },
    };
  };

  const allowed: Guard['isAllowed'] = (caller, action, stream, pair) =>
    isAllowed(caller, action, stream, pair.settings.acl, defaults());

  return {
    identify,
    isAllowed: allowed,
    writing: (caller, action, stream) => (pair) => allowed(caller, action, stream, pair),
    require: async (caller, action, stream) => {
      // An anonymous caller must not make the server read anything.
      if (!caller || !allowed(caller, action, stream, await cache.committed(stream))) throw accessDenied();
    },
    requireOperator: (caller) => {
      if (!hasRole(caller, administrators, operators)) throw accessDenied();
    },
  };
};
