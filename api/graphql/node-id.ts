/**
 * Which GraphQL type an id names: its first three letters say so. Called by builder.ts and node.ts.
 */

/** Prefix of an id → name of the node type. */
export const nodeTypes: Readonly<Record<string, string>> = {
  ten: 'Tenant',
  acc: 'Account',
  dev: 'Device',
  enr: 'Enrolment',
  grp: 'DeviceGroup',
  pol: 'Policy',
  cmp: 'CompliancePolicy',
  bdl: 'TaskBundle',
  trf: 'Transfer',
  tsk: 'Task',
  prx: 'Proxy',
  rol: 'Role',
  key: 'ApiKey',
  apr: 'Approval',
  tpl: 'Template',
  dpl: 'Deployment',
  usr: 'User',
  ugr: 'UserGroup',
  imp: 'Import',
  hnd: 'Handout',
  sgt: 'MailSighting',
};

/** Name of the node type of an id; an empty string when it is no id of Muster's. */
export const typenameOf = (id: string): string =>
  /^[a-z]{3}[0-9a-hjkmnp-tv-z]{26}$/.test(id) ? (nodeTypes[id.slice(0, 3)] ?? '') : '';
