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
  'directory-missing': {
    title: 'The tenant has no directory',
    advice: 'Configure one with configureDirectory.',
  },
  'duplicate-row': {
    title: 'An earlier row of the file is about the same',
    advice: 'Keep one of the rows.',
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
  'group-not-empty': {
    title: 'The device group still has devices',
    advice: 'Move its devices into another group first.',
  },
  'handout-missing': { title: 'No such handout of enrolment codes', advice: 'Check the id.' },
  'import-missing': { title: 'No such import or preview', advice: 'Upload the file again.' },
  'name-taken': { title: 'The name is taken', advice: 'Choose another one.' },
  'platform-mismatch': {
    title: 'This is not for the platform of the device',
    advice: 'Choose a device or an item of the right platform.',
  },
  'policy-missing': { title: 'No such policy', advice: 'Check the id.' },
  'policy-retired': { title: 'The policy is retired', advice: 'Assign another policy.' },
  'proxy-missing': { title: 'No such proxy', advice: 'Check the id.' },
  'task-finished': { title: 'The task is finished already', advice: 'Queue a new task.' },
  'task-missing': { title: 'No such task on this device', advice: 'Check the task id.' },
  'tenant-exists': { title: 'The tenant already exists', advice: 'Use another id.' },
  'tenant-missing': { title: 'No such tenant', advice: 'Check the id.' },
  'tenant-suspended': { title: 'The tenant is suspended', advice: 'Ask the operator to reactivate it.' },
  'user-disabled': { title: 'The user is disabled', advice: 'Enable the user first.' },
  'user-exists': {
    title: 'The user exists already',
    advice: 'Choose the mode that updates or skips those that exist, or leave the row out.',
  },
  'user-group-full': {
    title: 'The user group is full',
    advice: 'Put further users into another group.',
  },
  'user-group-missing': { title: 'No such user group', advice: 'Check the id.' },
  'user-has-devices': {
    title: 'The user still has devices',
    advice:
      'Take the devices off the user first, or remove the user with force: the devices stay, without a user.',
  },
  'user-missing': { title: 'No such user', advice: 'Check the id.' },
  'user-removed': { title: 'The user was removed', advice: 'Create the user again.' },
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
