/**
 * Which permission reading an object of a type needs, wherever in a query it appears. Declared in refs.ts beside each
 * type; enforced by guard.ts for fields that lead there, and by node.ts for ids.
 */
import type { Permission } from '../../domain/account/permissions.ts';

const permissionByType = new Map<string, Permission>();

/** Declares that objects of the type need `permission` to be read. */
export const readable = <Ref extends { readonly name: string }>(permission: Permission, ref: Ref): Ref => {
  permissionByType.set(ref.name, permission);
  return ref;
};

/** The permission that reading objects of the named type needs; undefined where the field that leads there decides. */
export const readPermissionOf = (typename: string): Permission | undefined => permissionByType.get(typename);
