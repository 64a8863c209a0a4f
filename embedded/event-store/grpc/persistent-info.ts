/**
 * What clients are told about a persistent subscription.
 * Called by persistent.ts.
 */
import { type Consumer, measurementsOf } from '../persistent/consumer.ts';
import { allStreams } from '../persistent/definition.ts';
import type { GroupState } from '../persistent/group.ts';
import { persistent } from './protocol.ts';

const { SubscriptionInfo } = persistent;

const connectionOf = (
  consumer: Consumer,
  extraStatistics: boolean,
): persistent.SubscriptionInfo.ConnectionInfo => {
  const { perSecond, sinceLast } = consumer.rate.measure();
  const { connection } = consumer;
  const info = new SubscriptionInfo.ConnectionInfo()
    .setFrom(connection.from)
    .setUsername(connection.username)
    .setConnectionName(connection.connectionName)
    .setAverageItemsPerSecond(perSecond)
    .setTotalItems(String(consumer.totalItems))
    .setCountSinceLastMeasurement(String(sinceLast))
    .setAvailableSlots(connection.window - consumer.size)
    .setInFlightMessages(consumer.size);
  if (extraStatistics)
    info.setObservedMeasurementsList(
      measurementsOf(consumer).map(([key, value]) =>
        new SubscriptionInfo.Measurement().setKey(key).setValue(String(value)),
      ),
    );
  return info;
};

/** Places as text: a revision, or both halves of a position; empty when there is none. */
const placeText = (stream: string, place: bigint | undefined): string => {
  if (place === undefined) return '';
  return stream === allStreams ? `C:${place}/P:${place}` : place.toString();
};

/** The message of GetInfo and List. */
export const infoOf = (state: GroupState): persistent.SubscriptionInfo => {
  const { stream, group, settings, startFrom } = state.definition;
  return new SubscriptionInfo()
    .setEventSource(stream)
    .setGroupName(group)
    .setStatus(state.status)
    .setConnectionsList(state.consumers.map((consumer) => connectionOf(consumer, settings.extraStatistics)))
    .setAveragePerSecond(state.rate.perSecond)
    .setTotalItems(String(state.totalItems))
    .setCountSinceLastMeasurement(String(state.rate.sinceLast))
    .setLastCheckpointedEventPosition(placeText(stream, state.checkpoint))
    .setLastKnownEventPosition(placeText(stream, state.lastKnown))
    .setResolveLinkTos(settings.resolveLinks)
    .setStartFrom(placeText(stream, BigInt(startFrom)))
    .setMessageTimeoutMilliseconds(settings.messageTimeoutMs)
    .setExtraStatistics(settings.extraStatistics)
    .setMaxRetryCount(settings.maxRetryCount)
    .setLiveBufferSize(settings.liveBufferSize)
    .setBufferSize(settings.historyBufferSize)
    .setReadBatchSize(settings.readBatchSize)
    .setCheckPointAfterMilliseconds(settings.checkpointAfterMs)
    .setMinCheckPointCount(settings.minCheckpointCount)
    .setMaxCheckPointCount(settings.maxCheckpointCount)
    .setReadBufferCount(state.buffered)
    .setLiveBufferCount(String(state.live))
    .setRetryBufferCount(state.retrying)
    .setTotalInFlightMessages(state.outstanding)
    .setOutstandingMessagesCount(state.outstanding)
    .setNamedConsumerStrategy(settings.strategy)
    .setMaxSubscriberCount(settings.maxSubscriberCount)
    .setParkedMessageCount(state.parked.toString());
};
