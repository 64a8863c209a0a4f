/**
 * The device protocol on real servers for a test: two tenants, codes to enrol with, and calls whose answers are all
 * held against the published OpenAPI document. Called by the tests beside this file.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type OutgoingHttpHeaders, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Ajv2020 } from 'ajv/dist/2020.js';
import formats from 'ajv-formats';
import { deviceRoutes, type InFlightLimits } from '../../../api/device/main.ts';
import type { Decider } from '../../../domain/decider.ts';
import type { DeviceCommand } from '../../../domain/device/commands.ts';
import { deviceDecider } from '../../../domain/device/decide.ts';
import { enrolmentDecider } from '../../../domain/enrolment/decide.ts';
import type { EnrolmentId, TenantId } from '../../../domain/ids.ts';
import { isRefusal } from '../../../domain/refusals.ts';
import { tenantDecider } from '../../../domain/tenant/decide.ts';
import { readConfig, serverSettings } from '../../../platform/config.ts';
import type { Deps } from '../../../platform/deps.ts';
import { canonicalCode, hashSecret, newCode, newId, newUuid } from '../../../platform/new-id.ts';
import { openProjectionWaiter } from '../../../projections/await.ts';
import { enrolmentsProjection } from '../../../projections/enrolments.ts';
import { start as startProjector } from '../../../projections/main.ts';
import { allot, license } from '../../support/licence.ts';
import { startServers } from '../../support/servers.ts';

export type Json = Record<string, unknown>;

/** An answer: `body` parsed when it is JSON. */
export interface Answered {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Json;
}

/** What a call sends: a value as JSON, or bytes as they are. */
export interface Call {
  readonly method?: string;
  readonly token?: string | undefined;
  readonly headers?: OutgoingHttpHeaders;
  readonly json?: unknown;
  readonly bytes?: Buffer | string;
}

/** A device that enrolled. */
export interface Enrolled {
  readonly deviceId: string;
  readonly deviceToken: string;
}

type Document = { paths: Record<string, Record<string, { responses: Record<string, unknown> }>> };

const openAjv = (document: object) => {
  const ajv = new Ajv2020({ strict: false, allErrors: true });
  (formats as unknown as (ajv: Ajv2020) => void)(ajv);
  ajv.addSchema(document, 'openapi');
  return ajv;
};

/** Holds answers against an OpenAPI document; remembers which of its responses were met. */
export const openConformance = (document: Document) => {
  const ajv = openAjv(document);
  const met = new Set<string>();
  const pointer = (parts: string[]) =>
    parts
      .map((part) => part.replaceAll('~', '~0').replaceAll('/', '~1'))
      .map(encodeURIComponent)
      .join('/');
  return {
    met,
    /** Every response that the document declares, as `post /path 200`. */
    declared: Object.entries(document.paths).flatMap(([path, operations]) =>
      Object.entries(operations).flatMap(([method, { responses }]) =>
        Object.keys(responses).map((status) => `${method} ${path} ${status}`),
      ),
    ),
    check(method: string, path: string, { status, headers, body }: Answered): void {
      const operation = document.paths[path]?.[method];
      if (!operation) return;
      assert.ok(operation.responses[status], `${method} ${path} answered ${status}, which is not declared`);
      const type = String(headers['content-type']);
      const where = ['paths', path, method, 'responses', String(status), 'content', type, 'schema'];
      const validate = ajv.getSchema(`openapi#/${pointer(where)}`);
      assert.ok(validate, `${method} ${path} ${status} has no schema for ${type}`);
      assert.ok(validate(body), `${JSON.stringify(body)}: ${JSON.stringify(validate.errors)}`);
      met.add(`${method} ${path} ${status}`);
    },
  };
};

/** Starts everything. The clock runs as the machine's until `advance` moves it forward. */
export const startStage = async () => {
  let aheadMs = 0;
  const servers = await startServers({ clock: () => Date.now() + aheadMs });
  const { deps } = servers;
  const config = readConfig(serverSettings, {}, {});
  await license(deps);
  const projector = await startProjector(config, deps, { projections: [enrolmentsProjection] });
  const waiter = await openProjectionWaiter(deps);
  const conformance = openConformance(deviceRoutes(config, deps).openApi as Document);
  const open: { close(): Promise<void> }[] = [];

  /** Runs a command as the system; it must be accepted. Answers the state and where its events are in the log. */
  const run = async <State, Command, Event extends { readonly type: string; readonly data: unknown }>(
    decider: Decider<State, Command, Event>,
    tenantId: TenantId,
    id: string,
    command: Command | ((now: string) => Command),
  ) => {
    const cause = { actor: { kind: 'system', id: 'test' }, commandId: newUuid() } as const;
    const handled = await deps.handler.handle(decider, { tenantId, id }, command, cause);
    if (isRefusal(handled)) throw new Error(JSON.stringify(handled));
    return handled;
  };

  /** Serves the routes on a port of their own; `over` takes the place of dependencies, `limits` of the limits. */
  const serve = async (over: Partial<Deps> = {}, limits?: InFlightLimits) => {
    const routes = deviceRoutes(config, { ...deps, ...over }, limits);
    const server = createServer((req, res) => {
      routes.handle(req, res).then(
        (taken) => taken || res.writeHead(418).end(),
        (error: unknown) => res.destroy(error as Error),
      );
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    open.push({
      close: () =>
        new Promise((resolve) => {
          server.close(() => resolve());
          server.closeAllConnections();
        }),
    });

    const call = async (path: string, options: Call = {}): Promise<Answered> => {
      const { method = 'POST', token, json, headers = {} } = options;
      const bytes = options.bytes ?? (json === undefined ? undefined : JSON.stringify(json));
      const sent = request({
        host: '127.0.0.1',
        port,
        path,
        method,
        agent: false,
        headers: {
          ...(bytes === undefined ? {} : { 'content-type': 'application/json' }),
          ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
          ...headers,
        },
      });
      sent.end(bytes);
      const [response] = await once(sent, 'response');
      const chunks: Buffer[] = [];
      for await (const chunk of response) chunks.push(chunk);
      const text = Buffer.concat(chunks).toString();
      const isJson = String(response.headers['content-type']).includes('json');
      const answered: Answered = {
        status: response.statusCode,
        headers: response.headers,
        body: isJson ? JSON.parse(text) : { text },
      };
      conformance.check(method.toLowerCase(), path, answered);
      return answered;
    };
    return {
      port,
      call,
      enroll: (json: Json, options: Call = {}) => call('/device/v1/enroll', { json, ...options }),
      sync: (token: string | undefined, json: Json, options: Call = {}) =>
        call('/device/v1/sync', { token, json, ...options }),
    };
  };

  const newTenant = async (name: string): Promise<TenantId> => {
    const tenantId = newId('ten');
    await run(tenantDecider, tenantId, tenantId, {
      type: 'CreateTenant',
      name,
      slug: `t${tenantId.slice(-12)}`,
      kind: 'customer',
    });
    await allot(deps, tenantId);
    return tenantId;
  };

  /** Makes a code; resolves once it can be used. */
  const newEnrolment = async (
    tenantId: TenantId,
    over: Partial<Parameters<typeof enrolmentDecider.decide>[0] & { type: 'CreateEnrolment' }> = {},
  ): Promise<{ code: string; enrolmentId: EnrolmentId }> => {
    const code = newCode();
    const enrolmentId = newId('enr');
    const { position } = await run(enrolmentDecider, tenantId, enrolmentId, {
      type: 'CreateEnrolment',
      codeHash: hashSecret(canonicalCode(code)),
      deviceId: null,
      userEmail: 'ada@example.org',
      platform: null,
      ownership: 'corporate',
      groupId: null,
      expiresAt: new Date(deps.clock() + 3_600_000).toISOString(),
      ...over,
    } as never);
    assert.ok(await waiter.reached(position as bigint, 20_000), 'the enrolment was not projected');
    return { code, enrolmentId };
  };

  const main = await serve();

  /** Enrols a new device. */
  const enrolled = async (tenantId: TenantId, over: Json = {}): Promise<Enrolled> => {
    const { code } = await newEnrolment(tenantId);
    const { status, body } = await main.enroll({
      code,
      requestId: newUuid(),
      platform: 'android',
      name: 'Phone',
      ...over,
    });
    assert.equal(status, 201, JSON.stringify(body));
    return body as unknown as Enrolled;
  };

  return {
    deps,
    conformance,
    ...main,
    serve,
    run,
    newTenant,
    newEnrolment,
    enrolled,
    /** Runs a command on a device. */
    onDevice: (
      tenantId: TenantId,
      deviceId: string,
      command: DeviceCommand | ((now: string) => DeviceCommand),
    ) => run(deviceDecider, tenantId, deviceId, command as never),
    /** The events of a device's stream, in order, read from the log. */
    async eventsOf(tenantId: TenantId, deviceId: string) {
      const events = [];
      for await (const event of deps.store.readStream(`device-${tenantId}_${deviceId}`, 0n))
        events.push(event);
      return events;
    },
    /** Moves the clock forward. */
    advance(ms: number): void {
      aheadMs += ms;
    },
    async stop(): Promise<void> {
      for (const each of open) await each.close();
      await waiter.close();
      await projector.stop();
      await servers.stop();
    },
  };
};

export type Stage = Awaited<ReturnType<typeof startStage>>;
