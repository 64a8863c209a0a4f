/**
 * The gRPC server: EventStoreDB's services on one loopback port.
 * Started by the event store's main.ts.
 */
import { randomUUID } from 'node:crypto';
import grpc from '@grpc/grpc-js';
import { ticksPerMs } from '../event.ts';
import type { Registry } from '../persistent/registry.ts';
import type { Sources } from '../subscriptions.ts';
import type { Writer } from '../writer.ts';
import { appendHandler } from './append.ts';
import { batchAppendHandler } from './batch-append.ts';
import { type Failure, unavailable } from './failures.ts';
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

const bind = (server: grpc.Server, host: string, port: number): Promise<number> =>
  new Promise((resolve, reject) => {
    server.bindAsync(`${host}:${port}`, grpc.ServerCredentials.createInsecure(), (error, bound) => {
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

/** Serves on `host`:`port` (0: any free port). Rejects when the port is taken. */
export const startGrpcServer = async (
  config: { host: string; port: number },
  parts: { sources: Sources; writer: Writer; registry: Registry },
): Promise<GrpcServer> => {
  const { sources, writer, registry } = parts;
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
      read: readHandler(sources, onOpen),
      append: appendHandler(writer),
      batchAppend: batchAppendHandler(writer, onOpen, unavailable),
      delete: deleteHandler(writer),
      tombstone: tombstoneHandler(writer),
    } as unknown as grpc.UntypedServiceImplementation,
  );
  server.addService(
    services.persistent as unknown as grpc.ServiceDefinition,
    {
      ...persistentHandlers(registry),
      read: persistentReadHandler(registry),
    } as unknown as grpc.UntypedServiceImplementation,
  );
  server.addService(services.features, {
    getSupportedMethods: ((_call, callback) => callback(null, supportedMethods())) as grpc.handleUnaryCall<
      shared.Empty,
      features.SupportedMethods
    >,
  });
  server.addService(services.gossip, {
    read: ((_call, callback) =>
      callback(null, clusterOfOne(instanceId, config.host, port))) as grpc.handleUnaryCall<
      shared.Empty,
      gossip.ClusterInfo
    >,
  });
  port = await bind(server, config.host, config.port);
  return {
    port,
    stop: async () => {
      for (const end of [...open]) end(unavailable('The event store is shutting down'));
      await shutDown(server);
    },
  };
};
