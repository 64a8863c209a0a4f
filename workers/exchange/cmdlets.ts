/**
 * What both kinds of Exchange have in common: cmdlets are invoked with arguments and answer rows. Implemented by
 * online.ts and on-premises.ts; called by controller.ts.
 */

/** Additions to and removals from a list that an object has. */
export interface ListChange {
  readonly add?: string | undefined;
  readonly remove?: string | undefined;
}

export type Argument = string | boolean | ListChange;
export type Arguments = Readonly<Record<string, Argument>>;
export type Row = Readonly<Record<string, unknown>>;

export interface Cmdlets {
  /**
   * Runs one cmdlet. Throws `exchange-refused`, `exchange-throttled`, `exchange-unavailable`, or `mailbox-missing`
   * when the object that `Identity` or `Mailbox` names is not there.
   */
  invoke(cmdlet: string, args: Arguments): Promise<readonly Row[]>;
  close(): Promise<void>;
}

/** Text of somebody else's server as one line of a log. */
export const asLine = (text: string): string =>
  text
    .replace(/[\p{Cc}\p{Zl}\p{Zp}\p{Cs}]+/gu, ' ')
    .trim()
    .slice(0, 280) || 'no reason';

/** How Exchange says, in either kind, that an object is not there. */
export const saysMissing = (text: string): boolean =>
  /ManagementObjectNotFoundException|couldn['’]t be found|could not be found|ObjectNotFound/i.test(text);
