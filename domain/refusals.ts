/**
 * Every refusal a decision can answer with: an expected outcome, a value and never an exception.
 * Called by deciders; edges map the code to their own wire (HTTP problem, GraphQL result, CLI message).
 */

/** Code → what happened (title) and what the caller can do (advice). Documented in docs/reference/errors.md. */
export const refusals = {
  'account-disabled': { title: 'The account is disabled', advice: 'Ask an administrator to enable it.' },
  'account-exists': { title: 'The account already exists', advice: 'Use another id.' },
  'account-missing': { title: 'No such account', advice: 'Check the id.' },
  'bundle-conflict': {
    title: 'These tasks cannot share a bundle',
    advice: 'Put unenrol and wipe into separate bundles.',
  },
  'bundle-missing': { title: 'No such task bundle', advice: 'Check the id.' },
  'bundle-retired': { title: 'The task bundle is retired', advice: 'Create a new bundle.' },
  'compliance-policy-in-use': {
    title: 'The compliance policy is still assigned',
    advice: 'Assign another policy to the tenant and its groups first.',
  },
  'compliance-policy-missing': { title: 'No such compliance policy', advice: 'Check the id.' },
  'compliance-policy-retired': { title: 'The compliance policy is retired', advice: 'Create a new policy.' },
  'confirmation-wrong': {
    title: 'The confirmation is not what was asked for',
    advice: 'Type exactly what the field asks for.',
  },
  'deployment-missing': { title: 'No such deployment', advice: 'Check the id.' },
  'device-already-enrolled': {
    title: 'The device is already enrolled',
    advice: 'Unenrol it before enrolling it again.',
  },
  'device-exists': { title: 'The device is already registered', advice: 'Use the registered device.' },
  'device-missing': { title: 'No such device', advice: 'Check the id.' },
  'device-not-enrolled': { title: 'The device is not enrolled', advice: 'Enrol the device first.' },
  'device-retired': {
    title: 'The device has been unenrolled',
    advice: 'Enrol the device again with a new code.',
  },
  'enrolment-expired': {
    title: 'The enrolment code has expired',
    advice: 'Ask an administrator for a new code.',
  },
  'enrolment-missing': {
    title: 'No such enrolment code',
    advice: 'Check the code, or ask an administrator for a new one.',
  },
  'enrolment-revoked': {
    title: 'The enrolment code was revoked',
    advice: 'Ask an administrator for a new code.',
  },
  'enrolment-used': {
    title: 'The enrolment code was used already',
    advice: 'Ask an administrator for a new code.',
  },
  'group-missing': { title: 'No such device group', advice: 'Check the id.' },
  'last-administrator': {
    title: 'Nobody would be left to administer the tenant',
    advice: 'Give somebody else the role first.',
  },
  'name-taken': { title: 'The name is taken', advice: 'Choose another one.' },
  'platform-disabled': {
    title: 'The tenant has no devices of this platform',
    advice: 'Ask the operator to enable the platform.',
  },
  'platform-mismatch': {
    title: 'This is not for the platform of the device',
    advice: 'Choose a device or an item of the right platform.',
  },
  'policy-missing': { title: 'No such policy', advice: 'Check the id.' },
  'policy-retired': { title: 'The policy is retired', advice: 'Assign another policy.' },
  'proxy-missing': { title: 'No such proxy', advice: 'Check the id.' },
  'support-access-missing': {
    title: 'The tenant grants no support access',
    advice: 'Ask an administrator of the tenant to grant it.',
  },
  'task-finished': { title: 'The task is finished already', advice: 'Queue a new task.' },
  'task-missing': { title: 'No such task on this device', advice: 'Check the task id.' },
  'template-invalid': {
    title: 'The template does not fit together',
    advice: 'Correct the named item.',
  },
  'template-missing': { title: 'No such template', advice: 'Check the id.' },
  'template-retired': { title: 'The template is retired', advice: 'Use another template.' },
  'tenant-deleted': { title: 'The tenant was deleted', advice: 'Ask the operator.' },
  'tenant-exists': { title: 'The tenant already exists', advice: 'Use another id.' },
  'tenant-expired': {
    title: 'The tenant has expired',
    advice: 'Ask the operator to extend it.',
  },
  'tenant-missing': { title: 'No such tenant', advice: 'Check the id.' },
  'tenant-not-deleted': {
    title: 'The tenant is not to be deleted yet',
    advice: 'Request its deletion and wait until it is due.',
  },
  'tenant-suspended': { title: 'The tenant is suspended', advice: 'Ask the operator to reactivate it.' },
  'version-conflict': {
    title: 'Somebody else changed this first',
    advice: 'Read it again and repeat your change.',
  },
} as const;

/** Code of an expected refusal. */
export type RefusalCode = keyof typeof refusals;

/** An expected refusal: its code, the input field it concerns if one does, and a sentence with the particulars. */
export interface Refusal {
  readonly refused: RefusalCode;
  readonly field?: string;
  readonly detail?: string;
}

/** Makes a refusal; `particulars` names the field and says what was found. */
export const refuse = (code: RefusalCode, particulars: Omit<Refusal, 'refused'> = {}): Refusal => ({
  refused: code,
  ...particulars,
});

/** Tells a refusal from any accepted outcome. */
export const isRefusal = (value: unknown): value is Refusal =>
  typeof value === 'object' && value !== null && 'refused' in value;
