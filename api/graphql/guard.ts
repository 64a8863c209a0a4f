/**
 * Pothos plugin: refuses a root field to a credential without its scope before its arguments are looked at, and
 * refuses to build a schema in which a root field names neither scope nor permission. Registered by builder.ts.
 */
import SchemaBuilder, { BasePlugin, type PothosOutputFieldConfig, type SchemaTypes } from '@pothos/core';
import type { GraphQLFieldResolver } from 'graphql';
import type { ApiContext } from './context.ts';
import { type Access, accessFault, accessOf } from './scopes.ts';

const pluginName = 'guard';

class GuardPlugin<Types extends SchemaTypes> extends BasePlugin<Types> {
  override onOutputFieldConfig(config: PothosOutputFieldConfig<Types>): PothosOutputFieldConfig<Types> {
    if (config.kind !== 'Query' && config.kind !== 'Mutation' && config.kind !== 'Subscription')
      return config;
    const access = accessOf((config.pothosOptions as { authScopes?: unknown }).authScopes);
    if (access === undefined)
      throw new TypeError(`${config.parentType}.${config.name} must name one scope or permission`);
    return { ...config, extensions: { ...config.extensions, access } };
  }

  override wrapArgMappers(
    resolver: GraphQLFieldResolver<unknown, Types['Context'], object> | undefined,
    config: PothosOutputFieldConfig<Types>,
  ): GraphQLFieldResolver<unknown, Types['Context'], object> | undefined {
    const access = config.extensions?.['access'] as Access | undefined;
    if (!resolver || access === undefined) return resolver;
    return (source, args, context, info) => {
      const fault = accessFault((context as unknown as ApiContext).credential, access);
      if (fault) throw fault;
      return resolver(source, args, context, info);
    };
  }
}

SchemaBuilder.registerPlugin(pluginName, GuardPlugin as never);

declare global {
  namespace PothosSchemaTypes {
    interface Plugins<Types extends SchemaTypes> {
      guard: GuardPlugin<Types>;
    }
  }
}

/** Name under which the builder loads this plugin. */
export const guardPlugin = pluginName;
