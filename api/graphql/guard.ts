/**
 * Pothos plugin: refuses a root field to a credential without its scope before its arguments are looked at, and
 * refuses to build a schema in which a root field names no scope. Registered by builder.ts.
 */
import SchemaBuilder, { BasePlugin, type PothosOutputFieldConfig, type SchemaTypes } from '@pothos/core';
import type { GraphQLFieldResolver } from 'graphql';
import type { ApiContext } from './context.ts';
import { type ScopeName, scopeFault, scopeNames } from './scopes.ts';

const pluginName = 'guard';

/** The one scope that a field names; undefined when it names none, or not exactly one. */
const scopeOf = (options: { readonly authScopes?: unknown }): ScopeName | undefined => {
  const named = Object.entries((options.authScopes ?? {}) as Record<string, unknown>);
  const [scope, wanted] = named[0] ?? [];
  return named.length === 1 && wanted === true ? scopeNames.find((known) => known === scope) : undefined;
};

class GuardPlugin<Types extends SchemaTypes> extends BasePlugin<Types> {
  override onOutputFieldConfig(config: PothosOutputFieldConfig<Types>): PothosOutputFieldConfig<Types> {
    if (config.kind !== 'Query' && config.kind !== 'Mutation' && config.kind !== 'Subscription')
      return config;
    const scope = scopeOf(config.pothosOptions as { authScopes?: unknown });
    if (scope === undefined) throw new TypeError(`${config.parentType}.${config.name} must name one scope`);
    return { ...config, extensions: { ...config.extensions, scope } };
  }

  override wrapArgMappers(
    resolver: GraphQLFieldResolver<unknown, Types['Context'], object> | undefined,
    config: PothosOutputFieldConfig<Types>,
  ): GraphQLFieldResolver<unknown, Types['Context'], object> | undefined {
    const scope = config.extensions?.['scope'] as ScopeName | undefined;
    if (!resolver || scope === undefined) return resolver;
    return (source, args, context, info) => {
      const fault = scopeFault((context as unknown as ApiContext).credential, scope);
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
