/**
 * Events without their secrets, for everyone who may read history: auditors, integrators, `muster replay`.
 * Called by projections/audit.ts, api/events/feed.ts and cli/replay.ts.
 */

/** Keys of event data that hold digests of credentials or tokens of push services. */
const secretKeys: ReadonlySet<string> = new Set(['tokenHash', 'codeHash', 'token']);

/** A copy of JSON data with the value of every secret key replaced by `"[redacted]"`, at any depth. */
export const redact = (data: unknown): unknown => {
  if (Array.isArray(data)) return data.map(redact);
  if (typeof data !== 'object' || data === null) return data;
  return Object.fromEntries(
    Object.entries(data).map(([key, value]) => [
      key,
      secretKeys.has(key) && value !== null ? '[redacted]' : redact(value),
    ]),
  );
};
