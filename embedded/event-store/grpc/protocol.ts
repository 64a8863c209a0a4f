/**
 * EventStoreDB's generated protocol, taken from the client package so that both sides speak the very same messages.
 * The only file that knows where it comes from.
 */

import gossipGrpc from '@eventstore/db-client/generated/gossip_grpc_pb.js';
import gossip from '@eventstore/db-client/generated/gossip_pb.js';
import persistentGrpc from '@eventstore/db-client/generated/persistent_grpc_pb.js';
import persistent from '@eventstore/db-client/generated/persistent_pb.js';
import featuresGrpc from '@eventstore/db-client/generated/serverfeatures_grpc_pb.js';
import features from '@eventstore/db-client/generated/serverfeatures_pb.js';
import shared from '@eventstore/db-client/generated/shared_pb.js';
import status from '@eventstore/db-client/generated/status_pb.js';
import streamsGrpc from '@eventstore/db-client/generated/streams_grpc_pb.js';
import streams from '@eventstore/db-client/generated/streams_pb.js';
import type grpc from '@grpc/grpc-js';
import any from 'google-protobuf/google/protobuf/any_pb.js';
import empty from 'google-protobuf/google/protobuf/empty_pb.js';
import wrappers from 'google-protobuf/google/protobuf/wrappers_pb.js';

export { any, empty, features, gossip, persistent, shared, status, streams, wrappers };

/** Read answers are encoded by wire.ts, which is several times faster than the generated code. */
const readMethod: grpc.MethodDefinition<streams.ReadReq, Buffer> = {
  ...(streamsGrpc.StreamsService.read as unknown as grpc.MethodDefinition<streams.ReadReq, Buffer>),
  responseSerialize: (encoded) => encoded,
};

const deliverMethod: grpc.MethodDefinition<persistent.ReadReq, Buffer> = {
  ...(persistentGrpc.PersistentSubscriptionsService.read as unknown as grpc.MethodDefinition<
    persistent.ReadReq,
    Buffer
  >),
  responseSerialize: (encoded) => encoded,
};

/** Services to serve. */
export const services = {
  streams: { ...streamsGrpc.StreamsService, read: readMethod },
  persistent: { ...persistentGrpc.PersistentSubscriptionsService, read: deliverMethod },
  features: featuresGrpc.ServerFeaturesService,
  gossip: gossipGrpc.GossipService,
};
