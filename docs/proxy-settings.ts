/**
 * The reference of the proxy's configuration file, from its schemas. Called by generate.ts.
 */
import { z } from 'zod';
import { proxyShape } from '../proxy/config.ts';
import { instanceShape, tlsKinds } from '../proxy/instance-config.ts';

interface JsonSchema {
  readonly description?: string;
  readonly default?: unknown;
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly required?: readonly string[];
}

type Row = readonly [name: string, preset: string, meaning: string];

const schemaOf = (shape: z.ZodRawShape): JsonSchema =>
  z.toJSONSchema(z.object(shape), { unrepresentable: 'any', io: 'input' }) as JsonSchema;

const presetOf = (schema: JsonSchema, isRequired: boolean): string => {
  if (isRequired) return 'required';
  return schema.default === undefined ? '' : `\`${JSON.stringify(schema.default)}\``;
};

/** A row for each setting, and for each below it. */
const rowsOf = (schema: JsonSchema, prefix = ''): Row[] =>
  Object.entries(schema.properties ?? {}).flatMap(([key, inner]): Row[] => {
    const name = `${prefix}${key}`;
    const preset = inner.properties ? '' : presetOf(inner, schema.required?.includes(key) ?? false);
    return [[`\`${name}\``, preset, inner.description ?? ''], ...rowsOf(inner, `${name}.`)];
  });

/** Sections of the reference: title and rows. */
export const proxySettingRows = (): readonly (readonly [title: string, rows: readonly Row[]])[] => {
  const { instances: _, ...process } = proxyShape;
  return [
    ['The process', rowsOf(schemaOf(process))],
    ['Each of `instances`', rowsOf(schemaOf(instanceShape))],
    ['`tls`: made by the proxy', rowsOf(schemaOf(tlsKinds.selfSigned.shape), 'tls.')],
    ['`tls`: PKCS#12', rowsOf(schemaOf(tlsKinds.pkcs12.shape), 'tls.')],
    ['`tls`: separate files', rowsOf(schemaOf(tlsKinds.separate.shape), 'tls.')],
  ];
};
