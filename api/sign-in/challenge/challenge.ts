/**
 * The contract of a sign-in challenge: a question that tells people from programs, asked after failed attempts.
 * Implemented by <provider>.ts, listed in index.ts, called by api/sign-in/enter.ts.
 */
import type { ChallengeProvider } from '../../../domain/sign-in/sign-in.ts';
import type { ServerConfig } from '../../../platform/config.ts';
import type { Logger } from '../../../platform/log.ts';

/** The name of a provider that asks something. */
export type AskingProvider = Exclude<ChallengeProvider, 'none'>;

/** What the caller answered, from where. */
export interface ChallengeAnswer {
  readonly answer: string;
  readonly address: string;
  /** The provider's secret key of the tenant. */
  readonly secret: string;
}

/**
 * `unavailable`: nobody can tell, since the provider is away or the key is wrong. Sign-in then goes on without the
 * challenge, as it is one defence of several and must not lock everybody out.
 */
export type ChallengeVerdict = 'solved' | 'refused' | 'unavailable';

/** An open connection to one provider. */
export interface SignInChallenge {
  /** Judges an answer; never throws. */
  verify(answer: ChallengeAnswer): Promise<ChallengeVerdict>;
  /** Ends the connections. */
  close(): Promise<void>;
}

/** What a provider is opened with. */
export interface ChallengeParts {
  readonly config: Pick<ServerConfig, 'publicUrl' | 'recaptchaEndpoint'>;
  readonly log: Logger;
}

/** One line of the registry. */
export interface ChallengeEntry {
  readonly name: AskingProvider;
  readonly open: (parts: ChallengeParts) => SignInChallenge;
}
