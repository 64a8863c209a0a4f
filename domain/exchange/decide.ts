/**
 * Commands and decisions of a tenant's Exchange connections. Called through platform/handle.ts by
 * api/graphql/exchange.ts and by the jobs that switch access.
 */
import { type Decider, type Decision, never } from '../decider.ts';
import type { DeviceId } from '../ids.ts';
import { refuse } from '../refusals.ts';
import { same } from '../same.ts';
import {
  type ExchangeConnection,
  type ExchangeEvent,
  type ExchangeSettings,
  type ExchangeState,
  evolveExchange,
  exchangeEvents,
  initialExchange,
  mostFailing,
  type Reconciliation,
} from './exchange.ts';

interface About {
  readonly name: string;
  readonly deviceId: DeviceId;
  readonly mailbox: string;
}

export type ExchangeCommand =
  | { readonly type: 'ConfigureExchange'; readonly name: string; readonly settings: ExchangeSettings }
  | { readonly type: 'ChangeExchangeSecret'; readonly name: string }
  | { readonly type: 'RemoveExchangeConnection'; readonly name: string }
  | {
      readonly type: 'RequestReconciliation';
      readonly name: string;
      readonly requestId: string;
      readonly dryRun: boolean;
    }
  | {
      readonly type: 'RecordReconciliation';
      readonly name: string;
      readonly startedAt: string;
      readonly outcome: Reconciliation;
    }
  | {
      readonly type: 'RecordReconciliationFailure';
      readonly name: string;
      readonly startedAt: string;
      readonly code: string;
      readonly reason: string;
    }
  | ({ readonly type: 'BindPartnership'; readonly partnershipId: string } & About)
  | ({
      readonly type: 'RecordMailAccess';
      readonly partnershipId: string;
      readonly access: 'allow' | 'block';
      readonly reason: string;
    } & About)
  | ({ readonly type: 'RecordMailAccessFailure'; readonly code: string; readonly reason: string } & About);

/** Connections that one tenant may have. */
export const mostConnections = 20;

type OfConnection = Exclude<ExchangeCommand, { type: 'ConfigureExchange' | 'RemoveExchangeConnection' }>;

const decideConnection = (command: OfConnection, known: ExchangeConnection): Decision<ExchangeEvent> => {
  switch (command.type) {
    case 'ChangeExchangeSecret':
      return [{ type: 'ExchangeSecretChanged', data: { name: command.name } }];
    case 'RequestReconciliation': {
      const { type: _, ...data } = command;
      return known.requestId === data.requestId ? [] : [{ type: 'ExchangeReconciliationRequested', data }];
    }
    case 'RecordReconciliation':
    case 'RecordReconciliationFailure': {
      // A reconciliation that began before the last recorded one is a repetition of it, or was overtaken.
      if (known.lastStartedAt !== null && known.lastStartedAt >= command.startedAt) return [];
      if (command.type === 'RecordReconciliation') {
        const { type: _, ...data } = command;
        return [{ type: 'ExchangeReconciled', data }];
      }
      const { type: _, ...data } = command;
      return [{ type: 'ExchangeReconciliationFailed', data }];
    }
    case 'BindPartnership': {
      const { type: _, ...data } = command;
      return known.bound[data.deviceId] === data.partnershipId
        ? []
        : [{ type: 'MailPartnershipBound', data }];
    }
    case 'RecordMailAccess': {
      const { type: _, access, ...data } = command;
      const { mailbox, partnershipId } = data;
      const unchanged = same(known.switched[data.deviceId], { mailbox, partnershipId, access });
      if (unchanged && !known.failing[data.deviceId]) return [];
      return [{ type: access === 'allow' ? 'MailAccessGranted' : 'MailAccessBlocked', data }];
    }
    case 'RecordMailAccessFailure': {
      const { type: _, ...data } = command;
      const failing = known.failing[data.deviceId];
      // The same failure again is no news; and a server that fails for everybody must not flood the log.
      if (failing?.code === data.code && failing.mailbox === data.mailbox) return [];
      if (!failing && Object.keys(known.failing).length >= mostFailing) return [];
      return [{ type: 'MailAccessFailed', data }];
    }
    default:
      return never(command);
  }
};

/** Decides one command: see the refusals it names. */
export const decideExchange = (command: ExchangeCommand, state: ExchangeState): Decision<ExchangeEvent> => {
  const { name } = command;
  const known = state.connections[name];
  if (command.type === 'ConfigureExchange') {
    const { settings } = command;
    if (known && same(known.settings, settings)) return [];
    if (!known && Object.keys(state.connections).length >= mostConnections)
      return refuse('exchange-connections-full');
    return [{ type: 'ExchangeConfigured', data: { name, settings } }];
  }
  if (command.type === 'RemoveExchangeConnection')
    return known ? [{ type: 'ExchangeConnectionRemoved', data: { name } }] : [];
  return known ? decideConnection(command, known) : refuse('exchange-connection-missing');
};

export const exchangeDecider: Decider<ExchangeState, ExchangeCommand, ExchangeEvent> = {
  events: exchangeEvents,
  stateVersion: 1,
  // The state names every device that was switched: a snapshot is not small.
  snapshotEvery: 1000,
  initial: initialExchange,
  evolve: evolveExchange,
  decide: decideExchange,
};
