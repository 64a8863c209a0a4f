/**
 * The OpenAPI 3.1 document of the device protocol, generated from the schemas of wire.ts that also parse requests.
 * Served by main.ts at `/device/v1/openapi.json`.
 */
import { z } from 'zod';
import type { RefusalCode } from '../../domain/refusals.ts';
import { describeCode, type ErrorCode } from '../../platform/errors.ts';
import { statusOf } from '../problem.ts';
import { enrolReply, enrolRequest, problem, syncReply, syncRequest } from './wire.ts';

const schemas = { enrolRequest, enrolReply, syncRequest, syncReply, problem };

const named = (key: string): string => `${key[0]?.toUpperCase()}${key.slice(1)}`;
const refTo = (key: keyof typeof schemas) => ({ $ref: `#/components/schemas/${named(key)}` });

const jsonSchemaOf = (schema: z.ZodType): object => {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io: 'input', target: 'draft-2020-12' });
  return rest;
};

const content = (type: string, key: keyof typeof schemas) => ({ [type]: { schema: refTo(key) } });

/** One response per status, naming the codes that lead to it. */
const problemsOf = (codes: readonly (ErrorCode | RefusalCode)[]): Record<string, object> => {
  const byStatus = new Map<number, ErrorCode[]>();
  for (const code of codes) {
    const status = statusOf(code);
    byStatus.set(status, [...(byStatus.get(status) ?? []), code]);
  }
  return Object.fromEntries(
    [...byStatus]
      .sort(([a], [b]) => a - b)
      .map(([status, met]) => [
        String(status),
        {
          description: met.map((code) => `\`${code}\`: ${describeCode(code).title}.`).join(' '),
          ...(status === 429 || status === 503
            ? {
                headers: {
                  'Retry-After': {
                    required: true,
                    description: 'Seconds after which to repeat the request.',
                    schema: { type: 'integer', minimum: 1 },
                  },
                },
              }
            : {}),
          content: content('application/problem+json', 'problem'),
        },
      ]),
  );
};

const bodyFaults: readonly ErrorCode[] = [
  'invalid-json',
  'body-too-deep',
  'body-too-large',
  'unsupported-media-type',
  'unsupported-encoding',
  'invalid-input',
];

const encoding = {
  name: 'Content-Encoding',
  in: 'header',
  required: false,
  schema: { type: 'string', enum: ['gzip', 'identity'] },
};

/** The document; its `paths` are exactly the routes of main.ts. */
export const openApiDocument = {
  openapi: '3.1.1',
  info: {
    title: 'Muster device protocol',
    version: '1',
    description: 'How a device enrols and checks in. See docs/device-rest.md.',
    license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
  },
  servers: [{ url: '/' }],
  paths: {
    '/device/v1/enroll': {
      post: {
        operationId: 'enroll',
        summary: 'Enrol with a one-time code.',
        security: [],
        parameters: [encoding],
        requestBody: { required: true, content: content('application/json', 'enrolRequest') },
        responses: {
          '201': {
            description: 'The device is enrolled.',
            content: content('application/json', 'enrolReply'),
          },
          ...problemsOf([
            ...bodyFaults,
            'tenant-suspended',
            'enrolment-missing',
            'enrolment-used',
            'platform-mismatch',
            'device-already-enrolled',
            'enrolment-expired',
            'enrolment-revoked',
            'too-many-attempts',
            'too-busy',
            'dependency-unavailable',
          ]),
        },
      },
    },
    '/device/v1/sync': {
      post: {
        operationId: 'sync',
        summary: 'Check in: report what changed, receive what to do.',
        security: [{ deviceToken: [] }],
        parameters: [encoding],
        requestBody: { required: true, content: content('application/json', 'syncRequest') },
        responses: {
          '200': {
            description: 'The check-in is stored.',
            content: content('application/json', 'syncReply'),
          },
          ...problemsOf([
            ...bodyFaults,
            'unauthenticated',
            'tenant-suspended',
            'device-retired',
            'too-busy',
            'dependency-unavailable',
          ]),
        },
      },
    },
    '/device/v1/openapi.json': {
      get: {
        operationId: 'describe',
        summary: 'This document.',
        security: [],
        responses: {
          '200': {
            description: 'This document.',
            content: { 'application/json': { schema: { type: 'object' } } },
          },
        },
      },
    },
  },
  components: {
    securitySchemes: {
      deviceToken: {
        type: 'http',
        scheme: 'bearer',
        description: 'The `deviceToken` of the reply to the enrolment.',
      },
    },
    schemas: Object.fromEntries(
      Object.entries(schemas).map(([key, schema]) => [named(key), jsonSchemaOf(schema)]),
    ),
  },
};
