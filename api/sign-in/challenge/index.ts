/**
 * The registry of sign-in challenges: a new one is a file beside this one and its line here. Typed over every name
 * that a tenant can choose. Called by api/sign-in/door.ts.
 */
import type { AskingProvider, ChallengeEntry, ChallengeParts, SignInChallenge } from './challenge.ts';
import { recaptcha } from './recaptcha.ts';

/** How each provider is opened. */
export const challengeProviders: Readonly<Record<AskingProvider, ChallengeEntry>> = { recaptcha };

/** The opened providers. */
export interface Challenges {
  of(name: AskingProvider): SignInChallenge;
  close(): Promise<void>;
}

/** Opens every provider; connections are made when first needed. */
export const openChallenges = (parts: ChallengeParts): Challenges => {
  const opened = new Map(
    Object.values(challengeProviders).map((entry) => [entry.name, entry.open(parts)] as const),
  );
  return {
    of: (name) => opened.get(name) as SignInChallenge,
    async close() {
      for (const challenge of opened.values()) await challenge.close();
    },
  };
};
