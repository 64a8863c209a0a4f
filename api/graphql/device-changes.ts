/**
 * The subscription of device changes. Listed in schema.ts.
 */
import { type DeviceId, deviceId } from '../../domain/ids.ts';
import { type DeviceRow, devicesChangedSince } from '../../projections/devices.ts';
import { streamCheckMs } from '../credentials.ts';
import { followRows } from '../follow.ts';
import { identify } from '../identify/index.ts';
import { builder } from './builder.ts';
import { type ApiContext, signedIn } from './context.ts';
import { Device } from './refs.ts';
import { accessFault } from './scopes.ts';

const rowsAtOnce = 100;

/** Devices of the account's tenant that change from now on; only one of them when `only` names it. */
const deviceChanges = (context: ApiContext, only: DeviceId | null): AsyncIterableIterator<DeviceRow> => {
  const { tenantId, token } = signedIn(context);
  const { deps, waiter, credentials, address } = context;
  const ending = new AbortController();
  const stop = () => ending.abort();
  context.stopping.addEventListener('abort', stop, { once: true });
  const changes = followRows<DeviceRow>({
    waiter,
    read: (position) => devicesChangedSince(deps.sql, tenantId, position, rowsAtOnce),
    positionOf: (row) => row.changedPosition,
    after: waiter.position(),
    allowed: async () => {
      const caller = { token, address };
      const credential = await identify(deps, credentials, caller, { use: false }).catch(() => null);
      return accessFault(credential, 'device.read') === undefined;
    },
    checkMs: streamCheckMs,
    heartbeatMs: streamCheckMs,
    signal: ending.signal,
  });
  async function* each() {
    for await (const { rows } of changes) {
      for (const row of rows) if (only === null || row.deviceId === only) yield row;
    }
  }
  const rows = each();
  const finish = async (): Promise<IteratorResult<DeviceRow>> => {
    context.stopping.removeEventListener('abort', stop);
    // A generator that waits cannot be returned: what it waits for is ended first.
    ending.abort();
    await rows.return(undefined);
    return { value: undefined, done: true };
  };
  return {
    next: () => rows.next(),
    return: finish,
    throw: finish,
    [Symbol.asyncIterator]() {
      return this;
    },
  };
};

builder.subscriptionField('deviceChanged', (t) =>
  t.field({
    type: Device,
    description: 'A device, as it is now, each time it changed. Ends with the session.',
    authScopes: { permission: 'device.read' },
    args: { deviceId: t.arg.id({ description: 'Only this device.' }).validate(deviceId.nullish()) },
    subscribe: (_root, args, context) => deviceChanges(context, args.deviceId ?? null),
    resolve: (device) => device,
  }),
);
