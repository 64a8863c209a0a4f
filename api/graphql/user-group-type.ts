/**
 * The connection of user groups, which users and the list of groups share. Called by user.ts and user-group.ts.
 */
import { connectionOf } from './connection.ts';
import { UserGroup } from './refs.ts';

export const UserGroupConnection = connectionOf('UserGroup', UserGroup);
