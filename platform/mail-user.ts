/**
 * Whether the name somebody signs in to mail with is the one a device belongs to. Called by proxy/ for each request and by
 * whoever binds a device that was seen there; pure.
 */

/** The part of a name that stands before '@' or after the domain's backslash. */
export const localPart = (user: string): string => {
  const from = user.lastIndexOf('\\') + 1;
  const at = user.indexOf('@', from);
  return user.slice(from, at < 0 ? undefined : at);
};

/** The name without its domain: what stands behind the last backslash. */
export const bareName = (user: string): string => user.slice(user.lastIndexOf('\\') + 1);

/**
 * True when the signed-in user (lower case) is the one with this mail address. A name with '@' must be that address; a
 * bare or domain-qualified name must be its local part, as directories name accounts.
 */
export const isSameUser = (user: string, email: string): boolean => {
  const bare = bareName(user);
  // As it is in nearly every case: asked for each request to the mail server, more than once.
  return isNamedBy(bare, email) || isNamedBy(bare, email.normalize('NFC').trim().toLowerCase());
};

const isNamedBy = (bare: string, address: string): boolean =>
  bare.includes('@') ? bare === address : bare !== '' && bare === localPart(address);
