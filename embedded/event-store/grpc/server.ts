/**
 * The gRPC server: EventStoreDB's services on one port, plain or over TLS.
 * Started by the event store's main.ts.
 */
import { randomUUID } from 'node:crypto';
import { isIPv6 } from 'node:net';
import grpc from '@grpc/grpc-js';
import { ticksPerMs } from '../event.ts';
import type { Registry } from '../persistent/registry.ts';
import type { Sources } from '../subscriptions.ts';
import type { Writer } from '../writer.ts';
import { appendHandler } from './append.ts';
import { batchAppendHandler } from './batch-append.ts';
import { type Failure, unavailable } from './failures.ts';
import type { Guard } from './guard.ts';
import { guardedPersistentHandlers, guardedPersistentRead } from './guarded-persistent.ts';
import { persistentHandlers } from './persistent.ts';
import { persistentReadHandler } from './persistent-read.ts';
import { features, gossip, services, shared } from './protocol.ts';
import { readHandler } from './read.ts';
import { deleteHandler, tombstoneHandler } from './remove.ts';

/** Version that clients are told; they choose features by it. */
const serverVersion = '24.6.0';

const supported: readonly [service: string, methods: readonly string[], features?: readonly string[]][] = [
  ['event_store.client.streams.streams', ['read', 'append', 'batchappend', 'delete', 'tombstone']],
  [
    'event_store.client.persistent_subscriptions.persistentsubscriptions',
    ['create', 'update', 'delete', 'read', 'getinfo', 'replayparked', 'list', 'restartsubsystem'],
    // Without these the client asks for some of it by HTTP instead.
    ['stream', 'all'],
  ],
  ['event_store.client.server_features.serverfeatures', ['getsupportedmethods']],
  ['event_store.client.gossip.gossip', ['read']],
];

const supportedMethods = (): features.SupportedMethods => {
  const methods = supported.flatMap(([service, names, featuresList = []]) =>
    names.map((name) =>
      new features.SupportedMethod()
        .setServiceName(service)
        .setMethodName(name)
        .setFeaturesList([...featuresList]),
    ),
  );
  return new features.SupportedMethods().setEventStoreServerVersion(serverVersion).setMethodsList(methods);
};

const clusterOfOne = (instanceId: string, address: string, port: number): gossip.ClusterInfo => {
  const member = new gossip.MemberInfo()
    .setInstanceId(new shared.UUID().setString(instanceId))
    .setTimeStamp((BigInt(Date.now()) * ticksPerMs).toString())
    .setState(gossip.MemberInfo.VNodeState.LEADER)
    .setIsAlive(true)
    .setHttpEndPoint(new gossip.EndPoint().setAddress(address).setPort(port));
  return new gossip.ClusterInfo().setMembersList([member]);
};

/** A listening server. */
export interface GrpcServer {
  readonly port: number;
  /** Ends every open call with UNAVAILABLE, then the connections. */
  stop(): Promise<void>;
}

const channelOptions: grpc.ServerOptions = {
  // A client may send one event of up to 16 MiB; grpc-js allows 4 unless told otherwise.
  'grpc.max_receive_message_length': 20 * 1024 * 1024,
  'grpc.max_send_message_length': -1,
  'grpc.keepalive_time_ms': 30_000,
  'grpc.keepalive_timeout_ms': 10_000,
};

/** Certificate and key that a server proves itself with, PEM. */
export interface TlsIdentity {
  readonly certificate: Buffer;
  readonly key: Buffer;
}

const credentialsOf = (tls: TlsIdentity | undefined): grpc.ServerCredentials =>
  tls
    ? grpc.ServerCredentials.createSsl(null, [{ cert_chain: tls.certificate, private_key: tls.key }])
    : grpc.ServerCredentials.createInsecure();

/** Where to listen, and what clients are told to connect to. */
export interface GrpcConfig {
  readonly host: string;
  readonly port: number;
  readonly advertisedHost: string;
  readonly tls?: TlsIdentity | undefined;
}

const bind = (server: grpc.Server, { host, port, tls }: GrpcConfig): Promise<number> =>
  new Promise((resolve, reject) => {
    const address = isIPv6(host) ? `[${host}]:${port}` : `${host}:${port}`;
    server.bindAsync(address, credentialsOf(tls), (error, bound) => {
      if (error) reject(error);
      else resolve(bound);
    });
  });

/** How long connections may take to close by themselves (milliseconds). */
const closePatienceMs = 500;

const shutDown = (server: grpc.Server): Promise<void> =>
  new Promise((resolve) => {
    const impatience = setTimeout(() => {
      server.forceShutdown();
      resolve();
    }, closePatienceMs);
    server.tryShutdown(() => {
      clearTimeout(impatience);
      resolve();
    });
  });

/** Handlers of persistent subscriptions; with a guard, behind its checks. */
const persistentService = (registry: Registry, guard: Guard | undefined) => {
  if (!guard) return { ...persistentHandlers(registry), read: persistentReadHandler(registry) };
  const names = new WeakMap<object, string>();
  const read = persistentReadHandler(registry, (call) => names.get(call) ?? 'anonymous');
  return {
    ...guardedPersistentHandlers(persistentHandlers(registry), guard),
    read: guardedPersistentRead(read, guard, (call, caller) => names.set(call, caller.name)),
  };
};

/**
 * Serves on `host`:`port` (0: any free port). Rejects when the port is taken. With a guard callers must authenticate;
 * features and gossip are open to all, as on the real server.
 */
export const startGrpcServer = async (
  config: GrpcConfig,
  parts: { sources: Sources; writer: Writer; registry: Registry; guard?: Guard | undefined },
): Promise<GrpcServer> => {
  const { sources, writer, registry, guard } = parts;
  const open = new Set<(failure: Failure) => void>();
  const onOpen = (end: (failure: Failure) => void): (() => void) => {
    open.add(end);
    return () => open.delete(end);
  };
  const instanceId = randomUUID();
  let port = config.port;
  const server = new grpc.Server(channelOptions);
  server.addService(
    services.streams as unknown as grpc.ServiceDefinition,
    {
      read: readHandler(sources, onOpen, guard),
      append: appendHandler(writer, guard),
      batchAppend: batchAppendHandler(writer, onOpen, unavailable, guard),
      delete: deleteHandler(writer, guard),
      tombstone: tombstoneHandler(writer, guard),
    } as unknown as grpc.UntypedServiceImplementation,
  );
  server.addService(
    services.persistent as unknown as grpc.ServiceDefinition,
    persistentService(registry, guard) as unknown as grpc.UntypedServiceImplementation,
  );
  server.addService(services.features, {
    getSupportedMethods: ((_call, callback) => callback(null, supportedMethods())) as grpc.handleUnaryCall<
      shared.Empty,
      features.SupportedMethods
    >,
  });
  server.addService(services.gossip, {
    read: ((_call, callback) =>
      callback(null, clusterOfOne(instanceId, config.advertisedHost, port))) as grpc.handleUnaryCall<
      shared.Empty,
      gossip.ClusterInfo
    >,
  });
  port = await bind(server, config);
  return {
    port,
    stop: async () => {
      for (const end of [...open]) end(unavailable('The event store is shutting down'));
      await shutDown(server);
    },
  };
};
