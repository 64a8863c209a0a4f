/**
 * The questions of `muster proxy init` on a terminal; what options say already is not asked. Called by init.ts.
 */
import { cancel, confirm, intro, isCancel, log, note, select, text } from '@clack/prompts';
import { MusterError } from '../../platform/errors.ts';
import { certificateAt } from '../../proxy/trust.ts';
import type { GivenInstance, GivenSettings, GivenTls, GivenTrust } from './settings-text.ts';

/** What is known before anything is asked. */
export type Known = Partial<Omit<GivenSettings, 'instances'>> & {
  readonly instance: Partial<GivenInstance>;
};

/** The answer, or the end of everything when the question was left. */
const answered = <Value>(answer: Value): Exclude<Value, symbol> => {
  if (!isCancel(answer)) return answer as Exclude<Value, symbol>;
  cancel('Nothing was written.');
  throw new MusterError('config-invalid', 'the set-up was left');
};

const ask = async (
  message: string,
  { initial, fits }: { readonly initial?: string; readonly fits: (given: string) => string | undefined },
): Promise<string> =>
  answered(
    await text({
      message,
      ...(initial === undefined ? {} : { initialValue: initial }),
      validate: (given) => fits(given ?? ''),
    }),
  );

const isUrl =
  (...protocols: readonly string[]) =>
  (given: string): string | undefined =>
    URL.canParse(given) && protocols.includes(new URL(given).protocol)
      ? undefined
      : `An address that begins with ${protocols.map((protocol) => `${protocol}//`).join(' or ')}`;
const isPort = (given: string): string | undefined =>
  /^\d{1,5}$/.test(given) && Number(given) <= 65_535 ? undefined : 'A number up to 65535';
const isName = (given: string): string | undefined =>
  /^[a-z0-9][a-z0-9-]{0,62}$/.test(given) ? undefined : 'Lower-case letters, digits and hyphens';
const isGiven = (given: string): string | undefined =>
  given === '' ? 'Something has to be said' : undefined;

/** Shows what a server presents and has it compared; a CA that everybody trusts needs no comparison. */
const askTrust = async (url: URL, compareWith: string): Promise<GivenTrust> => {
  if (url.protocol !== 'https:') return null;
  try {
    const { subject, issuer, validTo, isPublic, pin } = await certificateAt(url);
    note(`${subject}\nsigned by ${issuer}\nuntil ${validTo}\nSHA-256 ${pin}`, `${url.host} shows`);
    // Everybody's CA vouches for the name: there is nothing to compare.
    if (isPublic) return null;
    const isIt = answered(await confirm({ message: `Is that the fingerprint that ${compareWith}?` }));
    if (isIt) return { pin };
  } catch (error) {
    log.warn(`${url.host} cannot be asked for its certificate: ${(error as Error).message}`);
  }
  const caFile = await ask('PEM file of the CA that signed its certificate (empty: a public one)', {
    fits: () => undefined,
  });
  return caFile === '' ? null : { caFile };
};

const askTls = async (publicUrl: URL): Promise<GivenTls | null> => {
  const kind = answered(
    await select({
      message: 'The certificate that devices see',
      options: [
        { value: 'files', label: 'PEM files of certificate and key' },
        { value: 'pkcs12', label: 'a PKCS#12 file' },
        { value: 'selfSigned', label: 'one that the proxy makes', hint: 'phones must be told to trust it' },
        { value: 'none', label: 'none', hint: 'a balancer in front on this machine ends TLS' },
      ],
    }),
  );
  if (kind === 'none') return null;
  if (kind === 'selfSigned') return { selfSigned: { hostName: publicUrl.hostname } };
  if (kind === 'pkcs12') {
    const pkcs12File = await ask('PKCS#12 file', { fits: isGiven });
    const passwordFile = await ask('File with its password (empty: none)', { fits: () => undefined });
    return { pkcs12File, ...(passwordFile === '' ? {} : { passwordFile }) };
  }
  const certFile = await ask('PEM file of the certificate', { fits: isGiven });
  const keyFile = await ask('PEM file of its key', { fits: isGiven });
  const chainFile = await ask('PEM file of the certificates between (empty: none)', {
    fits: () => undefined,
  });
  return { certFile, keyFile, ...(chainFile === '' ? {} : { chainFile }) };
};

const askInstance = async (known: Partial<GivenInstance>): Promise<GivenInstance> => {
  const name = known.name ?? (await ask('Name of the instance', { initial: 'mail', fits: isName }));
  const publicUrl =
    known.publicUrl ??
    (await ask('Address that devices know it as', { initial: 'https://', fits: isUrl('https:', 'http:') }));
  const tls = known.tls === undefined ? await askTls(new URL(publicUrl)) : known.tls;
  const listenHost =
    known.listenHost ??
    (await ask('Address to listen on', { initial: tls === null ? '127.0.0.1' : '0.0.0.0', fits: isGiven }));
  const listenPort =
    known.listenPort ??
    Number(await ask('Port to listen on', { initial: tls === null ? '8443' : '443', fits: isPort }));
  const backendUrl =
    known.backendUrl ??
    (await ask('The mail server', { initial: 'https://', fits: isUrl('https:', 'http:') }));
  const backendTrust =
    known.backendTrust === undefined
      ? await askTrust(new URL(backendUrl), 'your mail server has')
      : known.backendTrust;
  return { name, publicUrl, tls, listenHost, listenPort, backendUrl, backendTrust };
};

/** Asks for all that is not known. Throws `config-invalid` when the questions are left. */
export const askSettings = async (known: Known, stateDir: string): Promise<GivenSettings> => {
  intro('The EAS proxy: what devices reach, what they are let through to, and who decides.');
  const serverUrl =
    known.serverUrl ??
    (await ask('The Muster server’s listener for proxies ({ proxyFeed { url } })', {
      initial: 'https://',
      fits: isUrl('https:'),
    }));
  const serverTrust =
    known.serverTrust === undefined
      ? await askTrust(new URL(serverUrl), 'GraphQL shows as { proxyFeed { pin } }')
      : known.serverTrust;
  const folder =
    known.stateDir ?? (await ask('Folder for keys and verdicts', { initial: stateDir, fits: isGiven }));
  const adminPort =
    known.adminPort ??
    Number(await ask('Port of health and metrics, on loopback (0: off)', { initial: '9090', fits: isPort }));
  const instances: GivenInstance[] = [await askInstance(known.instance)];
  while (answered(await confirm({ message: 'Another instance?', initialValue: false })))
    instances.push(await askInstance({}));
  return { serverUrl, serverTrust, stateDir: folder, adminPort, instances };
};
