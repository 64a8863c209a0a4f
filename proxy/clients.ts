/**
 * Which mail apps an instance lets through, by their User-Agent. A mail app can say what it likes, so this keeps honest
 * users on the right app and is no lock. Called by gate.ts; pure.
 */
import type { InstanceConfig } from './config.ts';

/** True when the whole text fits the pattern: `*` stands for any characters, letters are compared without case. */
export const fitsPattern = (text: string, pattern: string): boolean => {
  const [first = '', ...rest] = pattern.toLowerCase().split('*');
  const lower = text.toLowerCase();
  const last = rest.pop();
  if (last === undefined) return lower === first;
  if (!lower.startsWith(first)) return false;
  // No regular expression: a pattern of many stars must not take long on a text made for it.
  let at = first.length;
  for (const part of rest) {
    const found = lower.indexOf(part, at);
    if (found < 0) return false;
    at = found + part.length;
  }
  return lower.length - last.length >= at && lower.endsWith(last);
};

const fitsOneOf = (userAgent: string | undefined, patterns: readonly string[]): boolean =>
  userAgent !== undefined && patterns.some((pattern) => fitsPattern(userAgent, pattern));

/** Why this mail app is not let through, null when it is. */
export const clientProblem = (
  userAgent: string | undefined,
  {
    mailClients,
    containerOnly,
    containerUserAgents,
  }: Pick<InstanceConfig, 'mailClients' | 'containerOnly' | 'containerUserAgents'>,
): string | null => {
  if (containerOnly && !fitsOneOf(userAgent, containerUserAgents))
    return "only the container's mail app is let through";
  if (mailClients !== 'all' && !fitsOneOf(userAgent, mailClients)) return 'this mail app is not let through';
  return null;
};
