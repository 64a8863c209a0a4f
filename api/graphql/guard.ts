/**
 * Pothos plugin: refuses a root field to a credential without its scope before its arguments are looked at, and any
 * field that leads to objects which the credential may not read. Refuses to build a schema in which a root field names
 * neither scope nor permission. Registered by builder.ts.
 */
import SchemaBuilder, {
  BasePlugin,
  type PothosOutputFieldConfig,
  type PothosOutputFieldType,
  type SchemaTypes,
} from '@pothos/core';
import type { GraphQLFieldResolver } from 'graphql';
import type { ApiContext } from './context.ts';
import { readPermissionOf } from './readable.ts';
import { type Access, accessOf, refuseAccess } from './scopes.ts';

const pluginName = 'guard';

const isRoot = (kind: string): boolean => kind === 'Query' || kind === 'Mutation' || kind === 'Subscription';

class GuardPlugin<Types extends SchemaTypes> extends BasePlugin<Types> {
  override onOutputFieldConfig(config: PothosOutputFieldConfig<Types>): PothosOutputFieldConfig<Types> {
    if (!isRoot(config.kind)) return config;
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
      refuseAccess(context as unknown as ApiContext, access, config.name);
      return resolver(source, args, context, info);
    };
  }

  /** What a mutation answers with is guarded like any other object; what a root field lists, by the root field. */
  override wrapResolve(
    resolver: GraphQLFieldResolver<unknown, Types['Context'], object>,
    config: PothosOutputFieldConfig<Types>,
  ): GraphQLFieldResolver<unknown, Types['Context'], object> {
    const permission = isRoot(config.kind) ? undefined : readPermissionOf(this.typenameOf(config.type));
    if (permission === undefined) return resolver;
    const operation = `${config.parentType}.${config.name}`;
    return (source, args, context, info) => {
      refuseAccess(context as unknown as ApiContext, permission, operation);
      return resolver(source, args, context, info);
    };
  }

  private typenameOf(type: PothosOutputFieldType<Types>): string {
    return type.kind === 'List' ? this.typenameOf(type.type) : this.buildCache.getTypeConfig(type.ref).name;
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
