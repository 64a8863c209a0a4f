/**
 * Cmdlets of an Exchange server of one's own by remote PowerShell. Basic over HTTPS: Node speaks no Kerberos, so
 * Basic must be on at the PowerShell virtual directory. Called by open.ts.
 */
import type { ExchangeSettings } from '../../domain/exchange/exchange.ts';
import { openTurns } from '../in-turn.ts';
import type { Cmdlets } from './cmdlets.ts';
import { dial } from './dial.ts';
import { openPowerShell, type PowerShellSession } from './psrp/session.ts';

type OnPremises = Extract<ExchangeSettings, { kind: 'on-premises' }>;

/** Opens the server; the session begins with the first cmdlet. Cmdlets take turns: there is one runspace. */
export const openOnPremises = async (
  settings: OnPremises,
  password: string,
  { allowLoopback }: { readonly allowLoopback: boolean },
): Promise<Cmdlets> => {
  const server = await dial(settings.host, settings, allowLoopback);
  const authorization = `Basic ${Buffer.from(`${settings.account}:${password}`, 'utf8').toString('base64')}`;
  const inTurn = openTurns();
  let session: PowerShellSession | undefined;
  return {
    invoke: (cmdlet, args) =>
      inTurn('runspace', async () => {
        session ??= await openPowerShell(server, authorization);
        return session.run(cmdlet, args);
      }),
    async close() {
      await inTurn('runspace', async () => session?.close());
      await server.close();
    },
  };
};
