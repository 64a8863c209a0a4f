/**
 * A licence for servers that are started for themselves: a key pair that nobody keeps, trusted by that server alone.
 * Called by simulate.ts, demo.ts, the benches and end-to-end tests.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { issueLicenceKey, newIssuer } from '../../platform/licence.ts';
import { newUuid } from '../../platform/new-id.ts';
import { type Admin, mutate } from '../admin.ts';

const dayMs = 24 * 3_600_000;

/** An issuer of one server: the setting with which that server trusts it, and a licence from it. */
export interface ThrowAwayIssuer {
  readonly licencePublicKeyFile: string;
  /** Issues and activates a licence with that many seats, Advanced, for a year. */
  license(operator: Admin, seats: number): Promise<void>;
}

/** Makes an issuer whose public key is in the data folder; the private one stays in memory. */
export const throwAwayIssuer = (dataDir: string): ThrowAwayIssuer => {
  const { privateKey, publicKey } = newIssuer();
  const licencePublicKeyFile = join(dataDir, 'licence-issuer.pub');
  mkdirSync(dataDir, { recursive: true });
  writeFileSync(licencePublicKeyFile, publicKey);
  return {
    licencePublicKeyFile,
    async license(operator, seats) {
      const { client, token } = operator;
      const { licence } = await client.graphql<{ licence: { installationId: string } }>(
        '{ licence { installationId } }',
        {},
        token,
      );
      const now = Date.now();
      const key = await issueLicenceKey(
        {
          keyId: newUuid(),
          installationId: licence.installationId,
          licensee: 'This server alone',
          edition: 'advanced',
          seats,
          issuedAt: new Date(now).toISOString(),
          expiresAt: new Date(now + 365 * dayMs).toISOString(),
        },
        privateKey,
      );
      await mutate(operator, 'activateLicence', { key }, 'LicencePayload { pending }');
    },
  };
};
