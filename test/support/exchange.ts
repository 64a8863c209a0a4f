/**
 * Loopback Exchange servers for tests: mailboxes behind the REST endpoint of Exchange Online with its token endpoint,
 * and behind PowerShell remoting over WS-Management. They refuse what Exchange refuses. Called by test/workers/exchange/.
 */
import { createHash, X509Certificate } from 'node:crypto';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { importX509, jwtVerify } from 'jose';
import { createAuthority, issueServerCertificate } from '../../platform/pki.ts';
import { read, textOf } from '../../workers/exchange/psrp/clixml.ts';
import {
  encodeMessage,
  fragmentsOf,
  messageTypes,
  openDefragmenter,
} from '../../workers/exchange/psrp/messages.ts';
import { actions, resourceUri, terminate } from '../../workers/exchange/psrp/wsman.ts';
import { find, parseXml } from '../../workers/exchange/psrp/xml.ts';

export interface Mailbox {
  allowed: string[];
  blocked: string[];
  ews: boolean;
  devices: { DeviceId: string; DeviceType: string; DeviceUserAgent: string }[];
}
type Row = Record<string, unknown>;
type Args = Record<string, unknown>;

/** What the cmdlets do, whichever way they arrive. A missing object is answered by its name. */
const openWorld = () => {
  const mailboxes = new Map<string, Mailbox>();
  const rules: Row[] = [];
  /** Every call, for tests to look at. */
  const calls: { cmdlet: string; args: Args }[] = [];
  const change = (list: string[], given: unknown): string[] => {
    if (given === undefined) return list;
    if (typeof given !== 'object' || given === null || Array.isArray(given))
      return [given].flat() as string[];
    const entries = Object.entries(given).map(([key, value]) => [key.toLowerCase(), value]);
    const { add, remove } = Object.fromEntries(entries);
    return [...list.filter((id) => id !== remove), ...(add === undefined ? [] : [add as string])];
  };
  const run = (cmdlet: string, args: Args): Row[] | { missing: string } => {
    calls.push({ cmdlet, args });
    const named = args['Identity'] ?? args['Mailbox'];
    const mailbox = mailboxes.get(String(named));
    if (named !== undefined && !mailbox) return { missing: String(named) };
    if (cmdlet === 'Get-ActiveSyncOrganizationSettings') return [{ DefaultAccessLevel: 'Quarantine' }];
    if (cmdlet === 'Get-ActiveSyncDeviceAccessRule') return rules;
    if (cmdlet === 'New-ActiveSyncDeviceAccessRule') return [rules[rules.push(args) - 1] as Row];
    if (!mailbox) return { missing: cmdlet };
    if (cmdlet === 'Get-MobileDevice') return mailbox.devices;
    if (cmdlet === 'Get-MobileDeviceStatistics')
      return mailbox.devices.map(({ DeviceId }) => ({ DeviceId, LastSuccessSync: '2026-01-01T00:00:00Z' }));
    if (cmdlet === 'Get-CASMailbox')
      return [
        {
          ActiveSyncAllowedDeviceIDs: mailbox.allowed,
          ActiveSyncBlockedDeviceIDs: mailbox.blocked,
          EwsEnabled: mailbox.ews,
        },
      ];
    mailbox.allowed = change(mailbox.allowed, args['ActiveSyncAllowedDeviceIDs']);
    mailbox.blocked = change(mailbox.blocked, args['ActiveSyncBlockedDeviceIDs']);
    if (typeof args['EwsEnabled'] === 'boolean') mailbox.ews = args['EwsEnabled'];
    return [];
  };
  return { mailboxes, rules, calls, run };
};

interface Request {
  readonly path: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}
interface Reply {
  readonly status: number;
  readonly headers?: Record<string, string>;
  readonly body?: string;
}

const serve = async (answer: (request: Request) => Reply | Promise<Reply>) => {
  const authority = await createAuthority('Exchange of a test', new Date());
  const { certificate: cert, key } = await issueServerCertificate(authority, ['127.0.0.1'], new Date());
  const server = createServer({ cert, key }, (request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', async () => {
      const { status, headers, body } = await answer({
        path: request.url ?? '',
        headers: request.headers,
        body: Buffer.concat(chunks).toString(),
      });
      response.writeHead(status, headers).end(body);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    caCertificate: authority.certificate,
    certificateSha256: createHash('sha256').update(new X509Certificate(cert).raw).digest('hex'),
    stop: () =>
      new Promise((resolve) => {
        server.close(resolve);
        server.closeAllConnections();
      }),
  };
};

const json = (status: number, value: unknown, headers: Record<string, string> = {}): Reply => ({
  status,
  headers: { 'content-type': 'application/json', ...headers },
  body: JSON.stringify(value),
});

/** Whether an assertion proves that its sender holds the key of the application's certificate (RFC 7523 3). */
const proves = async (assertion: string, certificate: string, audience: string): Promise<boolean> => {
  try {
    const key = await importX509(certificate, 'PS256');
    const { payload, protectedHeader } = await jwtVerify(assertion, key, {
      audience,
      requiredClaims: ['jti', 'exp'],
    });
    const thumbprint = createHash('sha256').update(new X509Certificate(certificate).raw).digest('base64url');
    return (
      payload.iss !== undefined && payload.iss === payload.sub && protectedHeader['x5t#S256'] === thumbprint
    );
  } catch {
    return false;
  }
};

/**
 * Exchange Online with its token endpoint, on one port. `next` answers the next request in its place, and `before` is
 * awaited before a cmdlet runs. An application with a certificate proves itself by assertions alone.
 */
export const startOnline = async (organisation: string, clientSecret: string, certificate?: string) => {
  const world = openWorld();
  const state = {
    tokens: 0,
    next: [] as Reply[],
    pageSize: 1,
    anchors: [] as string[],
    before: async (_cmdlet: string): Promise<void> => {},
  };
  const token = async ({ body }: Request): Promise<Reply> => {
    const form = new URLSearchParams(body);
    if (form.get('scope') !== 'https://outlook.office365.com/.default')
      return json(400, { error: 'invalid_scope', error_description: 'AADSTS70011' });
    const audience = `https://${server.host}/${organisation}/oauth2/v2.0/token`;
    const right =
      certificate === undefined
        ? form.get('client_secret') === clientSecret
        : form.get('client_assertion_type') === 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer' &&
          (await proves(form.get('client_assertion') ?? '', certificate, audience));
    if (!right) return json(401, { error: 'invalid_client', error_description: 'AADSTS7000215: secret' });
    state.tokens += 1;
    return json(200, { access_token: `token-${state.tokens}`, expires_in: 3600, token_type: 'Bearer' });
  };
  const command = async ({ path, headers, body }: Request): Promise<Reply> => {
    if (headers['authorization'] !== `Bearer token-${state.tokens}`) return { status: 401 };
    const anchor = String(headers['x-anchormailbox'] ?? '');
    if (!/^UPN:[^@]+@[^@]+$/.test(anchor)) return json(400, { error: { message: 'no anchor' } });
    state.anchors.push(anchor);
    const { CmdletName, Parameters } = JSON.parse(body).CmdletInput;
    for (const value of Object.values(Parameters as Args))
      if (typeof value === 'object' && (value as Row)['@odata.type'] !== '#Exchange.GenericHashTable')
        return json(400, { error: { message: 'Cannot process argument transformation' } });
    await state.before(CmdletName);
    const rows = world.run(CmdletName, Parameters);
    if (!Array.isArray(rows))
      return json(400, {
        error: {
          code: 'BadRequest',
          message: 'Error executing cmdlet',
          details: [
            {
              message: `Ex6F9304|Microsoft.Exchange.Configuration.Tasks.ManagementObjectNotFoundException|The operation couldn't be performed because object '${rows.missing}' couldn't be found.`,
            },
          ],
        },
      });
    const skip = Number(new URL(path, 'https://x').searchParams.get('$skip') ?? 0);
    const more = skip + state.pageSize < rows.length;
    const link = `https://${server.host}/adminapi/beta/${organisation}/InvokeCommand?$skip=${skip + state.pageSize}`;
    return json(200, {
      value: rows.slice(skip, skip + state.pageSize),
      ...(more ? { '@odata.nextLink': link } : {}),
    });
  };
  const server = await serve((request) => {
    if (request.path === `/${organisation}/oauth2/v2.0/token`) return token(request);
    if (!request.path.startsWith(`/adminapi/beta/${organisation}/InvokeCommand`)) return { status: 404 };
    return state.next.shift() ?? command(request);
  });
  return { ...server, ...world, state };
};

const fault = (code: string, text: string): Reply => ({
  status: 500,
  body: `<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"><s:Body><s:Fault><s:Code><s:Value>s:Receiver</s:Value></s:Code><s:Reason><s:Text>${text}</s:Text></s:Reason><s:Detail><f:WSManFault xmlns:f="http://schemas.microsoft.com/wbem/wsman/1/wsmanfault" Code="${code}"><f:Message>${text}</f:Message></f:WSManFault></s:Detail></s:Fault></s:Body></s:Envelope>`,
});

const soap = (body: string): Reply => ({
  status: 200,
  body: `<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" xmlns:rsp="http://schemas.microsoft.com/wbem/wsman/1/windows/shell"><s:Body>${body}</s:Body></s:Envelope>`,
});

const clixml = (value: unknown, name: string): string => {
  if (typeof value === 'boolean') return `<B N="${name}">${value}</B>`;
  if (Array.isArray(value))
    return `<Obj N="${name}" RefId="9"><LST>${value.map((one) => `<S>${one}</S>`).join('')}</LST></Obj>`;
  return textOf(String(value), name);
};

/** An Exchange server's PowerShell endpoint. At most two shells at once, as a throttling policy would have it. */
export const startOnPremises = async (account: string, password: string) => {
  const world = openWorld();
  const state = {
    shells: new Set<string>(),
    running: new Set<string>(),
    timeOuts: 0,
    most: 2,
    disordered: false,
  };
  const waiting = new Map<string, Buffer[]>();
  let count = 0n;
  /** What keeps a session at this server, as a balancer has it. */
  const cookie = 'S-1-5-21-2553855760=rJqNiZqNgbKot6+tzc6yvc/=';
  const message = (type: number, poolId: string, pipelineId: string, xml: string): Buffer => {
    count += 1n;
    return fragmentsOf(
      count,
      encodeMessage({ destination: 'client', type, poolId, pipelineId, xml: `\ufeff${xml}` }),
    );
  };
  const zero = '00000000-0000-0000-0000-000000000000';
  const create = (asked: string | null | undefined, bytes: Buffer): Reply => {
    const [capability, init] = openDefragmenter()(bytes);
    if (capability?.type !== messageTypes.sessionCapability || init?.type !== messageTypes.initRunspacePool)
      return fault('2152992672', 'The messages of the session are not in order');
    if (state.shells.size >= state.most)
      return fault('2150859173', 'The maximum number of concurrent shells for this user has been exceeded.');
    // A pool and its shell are one thing with one id.
    const id = init.poolId.toUpperCase();
    if (asked !== id) return fault('2152992672', 'The shell has another id than its pool');
    state.shells.add(id);
    waiting.set(id, [
      message(messageTypes.sessionCapability, init.poolId, zero, capability.xml),
      message(
        messageTypes.runspacePoolState,
        init.poolId,
        zero,
        '<Obj RefId="0"><MS><I32 N="RunspaceState">2</I32></MS></Obj>',
      ),
    ]);
    return {
      ...soap(`<rsp:Shell><rsp:ShellId>${id}</rsp:ShellId></rsp:Shell>`),
      headers: {
        'set-cookie': `MS-WSMAN=${cookie}; expires=Tue, 29-May-2018 17:15:57 GMT; path=/powershell`,
      },
    };
  };
  const command = (commandId: string, bytes: Buffer): Reply => {
    const [asked] = openDefragmenter()(bytes);
    if (asked?.type !== messageTypes.createPipeline) return fault('2152992672', 'not a pipeline');
    const pipeline = read(parseXml(asked.xml)) as {
      PowerShell: { Cmds: { Cmd: string; IsScript: boolean; Args: { N: string; V: unknown }[] }[] };
    };
    const {
      Cmd,
      IsScript,
      Args: given,
    } = pipeline.PowerShell.Cmds[0] as (typeof pipeline.PowerShell.Cmds)[0];
    const answer = (type: number, xml: string) => message(type, asked.poolId, asked.pipelineId, xml);
    const failed = (text: string, kind: string) => [
      answer(
        messageTypes.pipelineState,
        `<Obj RefId="0"><MS><I32 N="PipelineState">5</I32><Obj N="ExceptionAsErrorRecord" RefId="1"><MS><Obj N="Exception" RefId="2"><Props><S N="Message">${text}</S></Props></Obj><S N="FullyQualifiedErrorId">${kind}</S></MS></Obj></MS></Obj>`,
      ),
    ];
    const done = (rows: Row[]) => [
      ...rows.map((row) =>
        answer(
          messageTypes.pipelineOutput,
          `<Obj RefId="0"><Props>${Object.entries(row)
            .map(([name, value]) => clixml(value, name))
            .join('')}</Props></Obj>`,
        ),
      ),
      answer(messageTypes.pipelineState, '<Obj RefId="0"><MS><I32 N="PipelineState">4</I32></MS></Obj>'),
    ];
    const args = Object.fromEntries(given.map(({ N, V }) => [N.replace(/^-/, ''), V]));
    const rows = IsScript || !/^[A-Z][a-z]+-[A-Za-z]+$/.test(Cmd) ? undefined : world.run(Cmd, args);
    waiting.set(
      commandId,
      rows === undefined
        ? failed(
            'The syntax is not supported by this runspace: it is in no-language mode.',
            'ScriptsNotAllowed',
          )
        : Array.isArray(rows)
          ? done(rows)
          : failed(
              `The operation couldn't be performed because object '${rows.missing}' couldn't be found.`,
              'ManagementObjectNotFoundException',
            ),
    );
    return soap(`<rsp:CommandResponse><rsp:CommandId>${commandId}</rsp:CommandId></rsp:CommandResponse>`);
  };
  const server = await serve(({ path, headers, body }) => {
    const right = `Basic ${Buffer.from(`${account}:${password}`).toString('base64')}`;
    if (headers['authorization'] !== right) return { status: 401 };
    const root = parseXml(body);
    if (path !== '/powershell/' || find(root, 'ResourceURI')?.textContent !== resourceUri)
      return { status: 404 };
    const action = find(root, 'Action')?.textContent;
    const blob = (name: string) => Buffer.from(find(root, name)?.textContent ?? '', 'base64');
    if (action === actions.create)
      return create(find(root, 'Shell')?.getAttribute('ShellId'), blob('creationXml'));
    if (headers['cookie'] !== `MS-WSMAN=${cookie}`)
      return fault('2150858843', 'The shell is at another server: the cookie is missing.');
    const shellId = find(root, 'Selector')?.textContent ?? '';
    if (!state.shells.has(shellId)) return fault('2150858843', 'The shell was not found on the server.');
    if (action === actions.delete) {
      state.shells.delete(shellId);
      return soap('');
    }
    if (action === actions.command) {
      const commandId = find(root, 'CommandLine')?.getAttribute('CommandId') ?? '';
      if (state.running.size > 0) return fault('2150859174', 'A command runs in this shell.');
      state.running.add(commandId);
      return command(commandId, blob('Arguments'));
    }
    if (action === actions.signal) {
      if (find(root, 'Code')?.textContent !== terminate) return fault('2150858843', 'no such signal');
      state.running.delete(find(root, 'Signal')?.getAttribute('CommandId') ?? '');
      return soap('<rsp:SignalResponse/>');
    }
    if (action !== actions.receive) return { status: 400 };
    if (state.timeOuts > 0) {
      state.timeOuts -= 1;
      return fault('2150858793', 'The WS-Management service cannot complete the operation within the time.');
    }
    const of = find(root, 'DesiredStream')?.getAttribute('CommandId') ?? shellId;
    // One message each time: a client has to come back for the rest.
    const next = waiting.get(of)?.shift();
    if (!next) return fault('2150858793', 'nothing yet');
    // As if the first fragment of the message were the second.
    if (state.disordered) next.writeBigUInt64BE(1n, 8);
    return soap(
      `<rsp:ReceiveResponse><rsp:Stream Name="stdout">${next.toString('base64')}</rsp:Stream></rsp:ReceiveResponse>`,
    );
  });
  return { ...server, ...world, state };
};
