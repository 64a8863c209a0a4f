/**
 * Every refusal a decision can answer with: an expected outcome, a value and never an exception.
 * Called by deciders; edges map the code to their own wire (HTTP problem, GraphQL result, CLI message).
 */

/** Code → what happened (title) and what the caller can do (advice). Documented in docs/reference/errors.md. */
export const refusals = {
  'account-disabled': { title: 'The account is disabled', advice: 'Ask an administrator to enable it.' },
  'account-exists': { title: 'The account already exists', advice: 'Use another id.' },
  'account-missing': { title: 'No such account', advice: 'Check the id.' },
  'breached-list-missing': {
    title: 'This installation has no list of breached passwords',
    advice: 'Ask the operator to set MUSTER_BREACHED_PASSWORDS, or leave the check off.',
  },
  'api-key-expired': { title: 'The API key has expired', advice: 'Create a new key.' },
  'api-key-missing': { title: 'No such API key', advice: 'Check the id.' },
  'approval-decided': {
    title: 'The approval was decided already',
    advice: 'Ask again if it is still wanted.',
  },
  'approval-expired': { title: 'The approval was asked for too long ago', advice: 'Ask again.' },
  'approval-missing': { title: 'No such approval', advice: 'Check the id.' },
  'approval-own': {
    title: 'Nobody approves what they asked for themselves',
    advice: 'Ask a second administrator.',
  },
  'approval-required': {
    title: 'This concerns so many devices that a second administrator must approve it',
    advice: 'Ask a second administrator to approve it; it is carried out then.',
  },
  'approver-too-new': {
    title: 'The approving account was created, enabled, given its role or its password less than a day ago',
    advice: 'Ask an administrator whose account is older, or wait.',
  },
  'bundle-conflict': {
    title: 'These tasks cannot share a bundle',
    advice: 'Put unenrol and wipe into separate bundles.',
  },
  'bundle-missing': { title: 'No such task bundle', advice: 'Check the id.' },
  'bundle-retired': { title: 'The task bundle is retired', advice: 'Create a new bundle.' },
  'challenge-key-missing': {
    title: 'The challenge needs both keys of its provider',
    advice: 'Give the site key and the secret key.',
  },
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
  'edition-required': {
    title: 'This needs the Advanced edition',
    advice: 'Ask the operator to allot seats of the Advanced edition.',
  },
  'directory-missing': {
    title: 'The tenant has no directory',
    advice: 'Configure one with configureDirectory.',
  },
  'duplicate-row': {
    title: 'An earlier row of the file is about the same',
    advice: 'Keep one of the rows.',
  },
  'exchange-connection-missing': {
    title: 'The tenant has no such Exchange connection',
    advice: 'Configure one with configureExchange.',
  },
  'exchange-connections-full': {
    title: 'The tenant has as many Exchange connections as it may have',
    advice: 'Remove one with removeExchangeConnection.',
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
  'identity-bound': {
    title: 'It is bound to somebody else at the identity provider',
    advice: 'An administrator unbinds it first, once it is clear who is who.',
  },
  'identity-provider-missing': {
    title: 'There is no single sign-on here',
    advice: 'Sign in with a password, or check the short name of the tenant.',
  },
  'link-invalid': {
    title: 'The link is not valid, or not any more',
    advice: 'Ask for a new one.',
  },
  'mail-device-mismatch': {
    title: 'The device cannot be the one that was seen',
    advice: 'Choose an enrolled device of the user who signed in, or assign the device to that user first.',
  },
  'mail-device-taken': {
    title: 'Another enrolled device has this EAS id',
    advice: 'Unenrol that device first, or dismiss the sighting.',
  },
  'mail-sighting-missing': { title: 'No such sighting of a mail device', advice: 'Check the id.' },
  'name-taken': { title: 'The name is taken', advice: 'Choose another one.' },
  'own-address-excluded': {
    title: 'This would lock you out: your own address is not in the list',
    advice: 'Add your address, or set force.',
  },
  'password-account-missing': {
    title: 'Without passwords, nobody could help when the identity provider fails',
    advice: 'Name an enabled administrator with a password among passwordAccounts.',
  },
  'password-account-needed': {
    title: 'The account is a way in for when the identity provider fails',
    advice: 'Take it from passwordAccounts of the identity provider first.',
  },
  'password-refused': {
    title: 'The password is not good enough',
    advice: 'Choose another one; signInSettings says what is asked for.',
  },
  'licence-expired': {
    title: 'The licence has expired',
    advice: 'Ask the operator to activate a new licence key.',
  },
  'licence-key-expired': { title: 'The licence key has expired', advice: 'Ask the issuer for a new key.' },
  'licence-key-foreign': {
    title: 'The licence key is for another installation',
    advice: 'Ask the issuer for a key for this installation; muster licence status shows its id.',
  },
  'licence-key-invalid': {
    title: 'This is not a valid licence key',
    advice: 'Copy the whole key as it was issued; muster licence inspect tells what it says.',
  },
  'licence-key-superseded': {
    title: 'The licence key is older than the present one',
    advice: 'Use the newest key, or ask the issuer for a new one.',
  },
  'licence-key-untrusted': {
    title: 'The licence key was signed by an issuer that this installation does not trust',
    advice: 'Ask a trusted issuer, or name the issuer’s public key in MUSTER_LICENCE_PUBLIC_KEY.',
  },
  'licence-missing': {
    title: 'The installation has no licence',
    advice: 'Start the server once: it begins the trial.',
  },
  'last-administrator': {
    title: 'Nobody would be left to administer the tenant',
    advice: 'Give somebody else the role first.',
  },
  'group-not-empty': {
    title: 'The device group still has devices',
    advice: 'Move its devices into another group first.',
  },
  'handout-missing': { title: 'No such handout of enrolment codes', advice: 'Check the id.' },
  'import-missing': { title: 'No such import or preview', advice: 'Upload the file again.' },
  'platform-disabled': {
    title: 'The tenant has no devices of this platform',
    advice: 'Ask the operator to enable the platform.',
  },
  'platform-mismatch': {
    title: 'This is not for the platform of the device',
    advice: 'Choose a device or an item of the right platform.',
  },
  'passkey-missing': { title: 'No such passkey', advice: 'Check the id; viewer { passkeys } lists yours.' },
  'policy-missing': { title: 'No such policy', advice: 'Check the id.' },
  'policy-retired': { title: 'The policy is retired', advice: 'Assign another policy.' },
  'proxy-missing': { title: 'No such proxy', advice: 'Check the id.' },
  'single-sign-on-required': {
    title: 'Passwords are not taken here',
    advice: 'Sign in by the identity provider of the tenant.',
  },
  'second-factor-off': {
    title: 'The account has no second factor',
    advice: 'Set one up with beginTotp first.',
  },
  'second-factor-on': {
    title: 'The account has a second factor already',
    advice: 'Turn it off with disableTotp before setting up another.',
  },
  'session-missing': { title: 'No such session', advice: 'List the sessions again.' },
  'sign-in-over': {
    title: 'This sign-in took too long, had too many wrong codes, or came from somewhere else',
    advice: 'Start again with signIn.',
  },
  'role-in-use': {
    title: 'The role is still given to accounts',
    advice: 'Give those accounts another role first.',
  },
  'role-missing': { title: 'No such role', advice: 'Check the id.' },
  'role-retired': { title: 'The role is retired', advice: 'Choose another role.' },
  'seats-exceed-licence': {
    title: 'The licence has too few seats for this',
    advice: 'Allot fewer seats to tenants, or activate a licence key with more.',
  },
  'seats-exhausted': {
    title: 'Every seat of the tenant is taken',
    advice: 'Unenrol devices that are no longer used, or ask the operator for more seats.',
  },
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
  'totp-not-begun': {
    title: 'No set-up of a second factor waits for its code',
    advice: 'Call beginTotp, and confirm within 15 minutes.',
  },
  'trial-unregistered': {
    title: 'The trial is not registered yet',
    advice: 'The operator registers it with an e-mail address (registerTrial), or activates a licence key.',
  },
  'too-many-passkeys': {
    title: 'The account has as many passkeys as it can have',
    advice: 'Remove one that is no longer used.',
  },
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
