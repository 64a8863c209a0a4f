/**
 * Google reCAPTCHA, versions 2 and 3 (developers.google.com/recaptcha/docs/verify and /docs/v3). Listed in index.ts.
 */
import { Agent, type Dispatcher, request } from 'undici';
import { z } from 'zod';
import type { ChallengeEntry, ChallengeParts, ChallengeVerdict, SignInChallenge } from './challenge.ts';

const timeoutMs = 5000;
const maximumReplyBytes = 16_384;
/** Version 3 answers how likely it is a person: Google's documentation starts at 0.5. */
const leastScore = 0.5;

const reply = z.object({
  success: z.boolean(),
  hostname: z.string().optional(),
  score: z.number().optional(),
  'error-codes': z.array(z.string()).optional(),
});

/** Error codes that blame the answer; any other blames the key or the request, which is ours. */
const blameAnswer = new Set(['missing-input-response', 'invalid-input-response', 'timeout-or-duplicate']);

const openRecaptcha = ({ config, log }: ChallengeParts): SignInChallenge => {
  const dispatcher: Dispatcher = new Agent({
    connections: 4,
    connect: { timeout: timeoutMs },
    headersTimeout: timeoutMs,
    bodyTimeout: timeoutMs,
    maxResponseSize: maximumReplyBytes,
  });
  const ownHost = config.publicUrl === undefined ? undefined : new URL(config.publicUrl).hostname;

  const judge = (status: number, text: string): ChallengeVerdict => {
    const parsed = reply.safeParse(JSON.parse(text));
    if (status !== 200 || !parsed.success) {
      log.warn({ status }, 'reCAPTCHA gives no verdict');
      return 'unavailable';
    }
    const { success, hostname, score, 'error-codes': codes = [] } = parsed.data;
    if (!success && !codes.some((code) => blameAnswer.has(code))) {
      log.error({ codes }, 'reCAPTCHA refuses the keys of a tenant');
      return 'unavailable';
    }
    // An answer that was solved on somebody else's page is none of ours.
    const elsewhere = ownHost !== undefined && hostname !== undefined && hostname !== ownHost;
    return success && !elsewhere && (score ?? 1) >= leastScore ? 'solved' : 'refused';
  };

  return {
    async verify({ answer, address, secret }) {
      try {
        const { statusCode, body } = await request(config.recaptchaEndpoint, {
          method: 'POST',
          headers: { 'content-type': 'application/x-www-form-urlencoded' },
          body: new URLSearchParams({ secret, response: answer, remoteip: address }).toString(),
          dispatcher,
        });
        return judge(statusCode, await body.text());
      } catch (err) {
        log.warn({ err }, 'reCAPTCHA does not answer');
        return 'unavailable';
      }
    },
    close: () => dispatcher.close(),
  };
};

/** reCAPTCHA's line of the registry. */
export const recaptcha: ChallengeEntry = { name: 'recaptcha', open: openRecaptcha };
