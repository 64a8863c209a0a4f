/**
 * Readable ids for tests: `idOf('dev', 1)` is the first device. Called by test/domain/.
 */
import type * as ids from '../../domain/ids.ts';

type Kinds = {
  ten: ids.TenantId;
  acc: ids.AccountId;
  dev: ids.DeviceId;
  enr: ids.EnrolmentId;
  grp: ids.GroupId;
  pol: ids.PolicyId;
  cmp: ids.CompliancePolicyId;
  bdl: ids.TaskBundleId;
  trf: ids.TransferId;
  tsk: ids.TaskId;
  prx: ids.ProxyId;
  rol: ids.RoleId;
  key: ids.ApiKeyId;
  pky: ids.PasskeyId;
  apr: ids.ApprovalId;
  tpl: ids.TemplateId;
  dpl: ids.DeploymentId;
  usr: ids.UserId;
  ugr: ids.UserGroupId;
  imp: ids.ImportId;
  hnd: ids.HandoutId;
};

/** The `number`th id of a kind. */
export const idOf = <Kind extends keyof Kinds>(kind: Kind, number: number): Kinds[Kind] =>
  `${kind}${String(number).padStart(26, '0')}` as Kinds[Kind];

/** A digest as of SHA-256: the digit repeated. */
export const digestOf = (digit: string): string => digit.repeat(64);
