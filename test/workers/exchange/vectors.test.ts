/**
 * Bytes that are not ours, in both directions: sessions between pypsrp and Windows Server, recorded in
 * github.com/jborean93/pypsrp, tests/responses (MIT), and what github.com/WinRb/WinRM v2 (Apache 2.0) writes.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MusterError } from '../../../platform/errors.ts';
import type { Dialled } from '../../../workers/exchange/dial.ts';
import { read } from '../../../workers/exchange/psrp/clixml.ts';
import {
  createPipeline,
  decodeMessage,
  encodeMessage,
  fragmentsOf,
  initRunspacePool,
  messageTypes,
  openDefragmenter,
  type PsrpMessage,
  sessionCapability,
} from '../../../workers/exchange/psrp/messages.ts';
import { openPowerShell } from '../../../workers/exchange/psrp/session.ts';
import { find, findAll, parseXml } from '../../../workers/exchange/psrp/xml.ts';

/** That client writes ids in network order, and the server gives them back as they came: as .NET reads them. */
const pool = '7b1670df-358e-294d-a7d5-58c87b2c177e';
const pipeline = '60b5cd86-9bf4-ad46-973a-c0a59bdbdeca';
/** test_psrp_error_failed.yml: what the client sent with Create ... */
const capability =
  'AAAAAAAAAAEAAAAAAAAAAAMAAADHAgAAAAIAAQDfcBZ7jjVNKafVWMh7LBd+AAAAAAAAAAAAAAAAAAAAADxPYmogUmVmSWQ9IjAiPjxNUz48VmVyc2lvbiBOPSJwcm90b2NvbHZlcnNpb24iPjIuMzwvVmVyc2lvbj48VmVyc2lvbiBOPSJQU1ZlcnNpb24iPjIuMDwvVmVyc2lvbj48VmVyc2lvbiBOPSJTZXJpYWxpemF0aW9uVmVyc2lvbiI+MS4xLjAuMTwvVmVyc2lvbj48L01TPjwvT2JqPg==';
const init =
  'AAAAAAAAAAIAAAAAAAAAAAMAAAL9AgAAAAQAAQDfcBZ7jjVNKafVWMh7LBd+AAAAAAAAAAAAAAAAAAAAADxPYmogUmVmSWQ9IjAiPjxNUz48STMyIE49Ik1pblJ1bnNwYWNlcyI+MTwvSTMyPjxJMzIgTj0iTWF4UnVuc3BhY2VzIj4xPC9JMzI+PE9iaiBOPSJQU1RocmVhZE9wdGlvbnMiIFJlZklkPSIxIj48VE4gUmVmSWQ9IjAiPjxUPlN5c3RlbS5NYW5hZ2VtZW50LkF1dG9tYXRpb24uUnVuc3BhY2VzLlBTVGhyZWFkT3B0aW9uczwvVD48VD5TeXN0ZW0uRW51bTwvVD48VD5TeXN0ZW0uVmFsdWVUeXBlPC9UPjxUPlN5c3RlbS5PYmplY3Q8L1Q+PC9UTj48VG9TdHJpbmc+RGVmYXVsdDwvVG9TdHJpbmc+PEkzMj4wPC9JMzI+PC9PYmo+PE9iaiBOPSJBcGFydG1lbnRTdGF0ZSIgUmVmSWQ9IjIiPjxUTiBSZWZJZD0iMSI+PFQ+U3lzdGVtLk1hbmFnZW1lbnQuQXV0b21hdGlvbi5SdW5zcGFjZXMuQXBhcnRtZW50U3RhdGU8L1Q+PFQ+U3lzdGVtLkVudW08L1Q+PFQ+U3lzdGVtLlZhbHVlVHlwZTwvVD48VD5TeXN0ZW0uT2JqZWN0PC9UPjwvVE4+PFRvU3RyaW5nPlVOS05PV048L1RvU3RyaW5nPjxJMzI+MjwvSTMyPjwvT2JqPjxPYmogTj0iSG9zdEluZm8iIFJlZklkPSIzIj48TVM+PEIgTj0iX2lzSG9zdE51bGwiPnRydWU8L0I+PEIgTj0iX2lzSG9zdFVJTnVsbCI+dHJ1ZTwvQj48QiBOPSJfaXNIb3N0UmF3VUlOdWxsIj50cnVlPC9CPjxCIE49Il91c2VSdW5zcGFjZUhvc3QiPnRydWU8L0I+PC9NUz48L09iaj48TmlsIE49IkFwcGxpY2F0aW9uQXJndW1lbnRzIiAvPjwvTVM+PC9PYmo+';
/** ... and what the server answered: to Create, twice to Receive, to Command, and once more to Receive. */
const shellId = 'DF70167B-8E35-4D29-A7D5-58C87B2C177E';
const stdout = {
  capability:
    'AAAAAAAAAAEAAAAAAAAAAAMAAADKAQAAAAIAAQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAO+7vzxPYmogUmVmSWQ9IjAiPjxNUz48VmVyc2lvbiBOPSJwcm90b2NvbHZlcnNpb24iPjIuMzwvVmVyc2lvbj48VmVyc2lvbiBOPSJQU1ZlcnNpb24iPjIuMDwvVmVyc2lvbj48VmVyc2lvbiBOPSJTZXJpYWxpemF0aW9uVmVyc2lvbiI+MS4xLjAuMTwvVmVyc2lvbj48L01TPjwvT2JqPg==',
  opened:
    'AAAAAAAAAAMAAAAAAAAAAAMAAABnAQAAAAUQAgDfcBZ7jjVNKafVWMh7LBd+AAAAAAAAAAAAAAAAAAAAAO+7vzxPYmogUmVmSWQ9IjAiPjxNUz48STMyIE49IlJ1bnNwYWNlU3RhdGUiPjI8L0kzMj48L01TPjwvT2JqPg==',
  progress:
    'AAAAAAAAAAQAAAAAAAAAAAMAAAIFAQAAABAQBADfcBZ7jjVNKafVWMh7LBd+hs21YPSbRq2XOsClm9veyu+7vzxPYmogUmVmSWQ9IjAiPjxNUz48UyBOPSJBY3Rpdml0eSI+UHJlcGFyaW5nIG1vZHVsZXMgZm9yIGZpcnN0IHVzZS48L1M+PEkzMiBOPSJBY3Rpdml0eUlkIj4wPC9JMzI+PFMgTj0iU3RhdHVzRGVzY3JpcHRpb24iPiA8L1M+PE5pbCBOPSJDdXJyZW50T3BlcmF0aW9uIiAvPjxJMzIgTj0iUGFyZW50QWN0aXZpdHlJZCI+LTE8L0kzMj48STMyIE49IlBlcmNlbnRDb21wbGV0ZSI+LTE8L0kzMj48T2JqIE49IlR5cGUiIFJlZklkPSIxIj48VE4gUmVmSWQ9IjAiPjxUPlN5c3RlbS5NYW5hZ2VtZW50LkF1dG9tYXRpb24uUHJvZ3Jlc3NSZWNvcmRUeXBlPC9UPjxUPlN5c3RlbS5FbnVtPC9UPjxUPlN5c3RlbS5WYWx1ZVR5cGU8L1Q+PFQ+U3lzdGVtLk9iamVjdDwvVD48L1ROPjxUb1N0cmluZz5Db21wbGV0ZWQ8L1RvU3RyaW5nPjxJMzI+MTwvSTMyPjwvT2JqPjxJMzIgTj0iU2Vjb25kc1JlbWFpbmluZyI+LTE8L0kzMj48L01TPjwvT2JqPg==',
  output:
    'AAAAAAAAAAUAAAAAAAAAAAMAAAA4AQAAAAQQBADfcBZ7jjVNKafVWMh7LBd+hs21YPSbRq2XOsClm9veyu+7vzxTPmJlZm9yZTwvUz4=',
};
/** The text of the error record that the server ended with, without what nothing is read from. */
const failed =
  '<Obj RefId="0"><MS><I32 N="PipelineState">5</I32><Obj N="ExceptionAsErrorRecord" RefId="1"><TN RefId="0"><T>System.Management.Automation.ErrorRecord</T><T>System.Object</T></TN><ToString>error</ToString><MS><Obj N="Exception" RefId="2"><TN RefId="1"><T>Microsoft.PowerShell.Commands.WriteErrorException</T><T>System.SystemException</T><T>System.Exception</T><T>System.Object</T></TN><ToString>Microsoft.PowerShell.Commands.WriteErrorException: error</ToString><Props><S N="Message">error</S><Obj N="Data" RefId="3"><TN RefId="2"><T>System.Collections.ListDictionaryInternal</T><T>System.Object</T></TN><DCT /></Obj><Nil N="InnerException" /><I32 N="HResult">-2146233087</I32></Props></Obj><Nil N="TargetObject" /><S N="FullyQualifiedErrorId">Microsoft.PowerShell.Commands.WriteErrorException</S><I32 N="ErrorCategory_Category">0</I32><S N="ErrorCategory_Reason">WriteErrorException</S><S N="ErrorCategory_TargetName"></S><S N="ErrorCategory_Message">NotSpecified: (:) [Write-Error], WriteErrorException</S><S N="ErrorDetails_ScriptStackTrace">at &lt;ScriptBlock&gt;, &lt;No file&gt;: line 1</S></MS></Obj></MS></Obj>';

const bytes = (base64: string): Buffer => Buffer.from(base64, 'base64');
const only = (fragments: Buffer): PsrpMessage => {
  const [message, ...more] = openDefragmenter()(fragments);
  assert.ok(message);
  assert.deepEqual(more, []);
  return message;
};

test('a session capability has the bytes that another client sends, but for the version', () => {
  const theirs = bytes(capability).toString('latin1').replace('>2.3<', '>2.2<');
  assert.equal(fragmentsOf(1n, sessionCapability(pool)).toString('latin1'), theirs);
});

test("a pool is asked for as another client does, but for how it spells an enumeration's name", () => {
  const theirs = only(bytes(init));
  const ours = only(fragmentsOf(2n, initRunspacePool(pool)));
  assert.deepEqual({ ...ours, xml: '' }, { ...theirs, xml: '' });
  const spelled = { ...(read(parseXml(theirs.xml)) as object), ApartmentState: 'Unknown' };
  assert.deepEqual(read(parseXml(ours.xml)), spelled);
});

test("a message's ids are GUIDs as Windows lays them out, and its numbers begin with the lowest byte", () => {
  // WinRM v2, tests/spec/psrp/psrp_message_spec.rb.
  const [poolId, pipelineId] = [
    'bc1bfbba-8215-4a04-b2df-7a3ac0310e16',
    '4218a578-0f18-4b19-82c3-46b433319126',
  ];
  const { sessionCapability: type } = messageTypes;
  const message = encodeMessage({ destination: 'server', type, poolId, pipelineId, xml: 'payload' });
  assert.deepEqual([...message.subarray(0, 8)], [2, 0, 0, 0, 2, 0, 1, 0]);
  assert.deepEqual(
    [...message.subarray(8, 24)],
    [186, 251, 27, 188, 21, 130, 4, 74, 178, 223, 122, 58, 192, 49, 14, 22],
  );
  assert.deepEqual(
    [...message.subarray(24, 40)],
    [120, 165, 24, 66, 24, 15, 25, 75, 130, 195, 70, 180, 51, 49, 145, 38],
  );
  const { poolId: readPool, pipelineId: readPipeline } = decodeMessage(message);
  assert.deepEqual([readPool, readPipeline], [poolId, pipelineId]);
});

test('fragments begin as those of others do, and numbers in them with the highest byte', () => {
  // WinRM v2, tests/spec/psrp/fragment_spec.rb.
  const blob = Buffer.from('blah blah blah');
  const header = [0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 14];
  assert.deepEqual([...fragmentsOf(1n, blob)], [...header, ...blob]);
  // test_psrp_small_msg_size.yml: the first of many fragments of message 3 has the start flag and no end flag.
  const theirs = bytes('AAAAAAAAAAMAAAAAAAAAAAEAAFr/').subarray(0, 17);
  assert.deepEqual(fragmentsOf(3n, Buffer.alloc(40_000)).subarray(0, 17), theirs);
  const take = openDefragmenter();
  const start = Buffer.concat([bytes('AAAAAAAAAAMAAAAAAAAAAAEAAFr/'), Buffer.alloc(0x5aff, 'x')]);
  assert.deepEqual(take(start), []);
  const end = Buffer.from('000000000000000300000000000000010200000001', 'hex');
  assert.equal(take(Buffer.concat([end, Buffer.from('y')]))[0]?.xml.at(-1), 'y');
});

test('a pipeline has the properties that another client writes', () => {
  const { xml, ...header } = only(
    fragmentsOf(
      3n,
      createPipeline(pool, pipeline, 'Set-CASMailbox', { Identity: 'a@b.example', Lists: { add: 'APPL1' } }),
    ),
  );
  assert.deepEqual(header, { destination: 'server', type: 0x00021006, poolId: pool, pipelineId: pipeline });
  // WinRM v2, lib/winrm/psrp/create_pipeline.xml.erb, with the arguments that are ours.
  const merges = Object.fromEntries(
    ['MyResult', 'ToResult', 'PreviousResults', 'Error', 'Warning', 'Verbose', 'Debug'].map((name) => [
      `Merge${name}`,
      'None',
    ]),
  );
  const host = { _isHostNull: true, _isHostUINull: true, _isHostRawUINull: true, _useRunspaceHost: true };
  assert.deepEqual(read(parseXml(xml)), {
    NoInput: true,
    ApartmentState: 'Unknown',
    RemoteStreamOptions: '0',
    AddToHistory: false,
    HostInfo: host,
    IsNested: false,
    PowerShell: {
      IsNested: false,
      ExtraCmds: null,
      History: null,
      RedirectShellErrorOutputPipe: false,
      Cmds: [
        {
          Cmd: 'Set-CASMailbox',
          IsScript: false,
          UseLocalScope: null,
          ...merges,
          Args: [
            { N: '-Identity', V: 'a@b.example' },
            { N: '-Lists', V: { Add: 'APPL1' } },
          ],
        },
      ],
    },
  });
  assert.match(xml, /<Obj N="V" RefId="\d+"><TN RefId="\d+"><T>System.Collections.Hashtable<\/T>/);
});

test('a Windows server says what comes out of a pipeline, and for which', () => {
  const message = only(bytes(stdout.output));
  assert.equal(message.type, messageTypes.pipelineOutput);
  assert.deepEqual([message.poolId, message.pipelineId], [pool, pipeline]);
  assert.equal(read(parseXml(message.xml)), 'before');
});

const shellSpace = 'http://schemas.microsoft.com/wbem/wsman/1/windows/shell';
const commandId = '86CDB560-F49B-46AD-973A-C0A59BDBDECA';
const answered = (body: string): string =>
  `<s:Envelope xml:lang="en-US" xmlns:s="http://www.w3.org/2003/05/soap-envelope" xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing" xmlns:x="http://schemas.xmlsoap.org/ws/2004/09/transfer" xmlns:w="http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd" xmlns:rsp="${shellSpace}"><s:Header></s:Header><s:Body>${body}</s:Body></s:Envelope>`;
const received = (streams: readonly string[], attributes = '', end = ''): string =>
  answered(
    `<rsp:ReceiveResponse>${streams
      .map((stream) => `<rsp:Stream Name="stdout"${attributes}>${stream}</rsp:Stream>`)
      .join('')}${end}</rsp:ReceiveResponse>`,
  );

/** A server that answers what was recorded, and keeps what it was asked. */
const replay = (answers: string[]) => {
  const asked: {
    path: string;
    headers: Readonly<Record<string, string>>;
    root: ReturnType<typeof parseXml>;
  }[] = [];
  const server: Dialled = {
    origin: 'https://mail.example',
    async post(path, headers, body) {
      asked.push({ path, headers, root: parseXml(body) });
      return { status: 200, text: answers.shift() ?? answered(''), retryAfterMs: undefined, setCookies: [] };
    },
    close: async () => {},
  };
  return { server, asked };
};

test('a recorded session is gone through: asked as other clients ask, and its error is understood', async () => {
  const pipelineState = encodeMessage({
    destination: 'client',
    type: messageTypes.pipelineState,
    poolId: pool,
    pipelineId: pipeline,
    xml: `\ufeff${failed}`,
  });
  const { server, asked } = replay([
    answered(
      `<x:ResourceCreated><a:ReferenceParameters><w:SelectorSet><w:Selector Name="ShellId">${shellId}</w:Selector></w:SelectorSet></a:ReferenceParameters></x:ResourceCreated><rsp:Shell><rsp:ShellId>${shellId}</rsp:ShellId><rsp:State>Connected</rsp:State></rsp:Shell>`,
    ),
    received([stdout.capability]),
    received([stdout.opened]),
    answered(`<rsp:CommandResponse><rsp:CommandId>${commandId}</rsp:CommandId></rsp:CommandResponse>`),
    received(
      [stdout.progress, stdout.output, fragmentsOf(6n, pipelineState).toString('base64')],
      ` CommandId="${commandId}"`,
      `<rsp:CommandState CommandId="${commandId}" State="${shellSpace}/CommandState/Done"><rsp:ExitCode>0</rsp:ExitCode></rsp:CommandState>`,
    ),
  ]);
  const session = await openPowerShell(server, 'Basic x');
  await assert.rejects(
    session.run('Get-Mailbox', {}),
    (error) =>
      error instanceof MusterError &&
      error.code === 'exchange-refused' &&
      error.message ===
        'Get-Mailbox: error Microsoft.PowerShell.Commands.WriteErrorException WriteErrorException',
  );
  await session.close();
  assert.deepEqual(
    asked.map(({ root }) => find(root, 'Action')?.textContent?.split('/').at(-1)),
    ['Create', 'Receive', 'Receive', 'Command', 'Receive', 'Signal', 'Delete'],
  );
  const [create, ...later] = asked.map(({ root }) => root);
  assert.ok(create);
  // As pypsrp and WinRM v2 both write it.
  const sent = find(create, 'creationXml');
  assert.equal(sent?.namespaceURI, 'http://schemas.microsoft.com/powershell');
  const [first, second] = openDefragmenter()(bytes(sent?.textContent ?? ''));
  assert.equal(find(create, 'Shell')?.getAttribute('ShellId'), first?.poolId.toUpperCase());
  assert.equal(first?.poolId, second?.poolId);
  const option = find(create, 'Option');
  assert.deepEqual(
    [option?.getAttribute('Name'), option?.getAttribute('MustComply')],
    ['protocolversion', 'true'],
  );
  for (const root of [create, ...later]) {
    const must = (name: string) => find(root, name)?.getAttribute('s:mustUnderstand');
    assert.deepEqual(
      ['Action', 'MaxEnvelopeSize', 'ResourceURI', 'Address', 'Locale', 'DataLocale', 'SessionId'].map(must),
      ['true', 'true', 'true', 'true', 'false', 'false', 'false'],
    );
    assert.equal(
      find(root, 'ResourceURI')?.textContent,
      'http://schemas.microsoft.com/powershell/Microsoft.Exchange',
    );
    assert.equal(find(root, 'MaxEnvelopeSize')?.textContent, '153600');
    assert.match(find(root, 'OperationTimeout')?.textContent ?? '', /^PT\d+(\.\d+)?S$/);
    assert.match(find(root, 'MessageID')?.textContent ?? '', /^uuid:[0-9A-F-]{36}$/);
  }
  for (const root of later) assert.equal(find(root, 'Selector')?.textContent, shellId);
  const started = find(later[2] as typeof create, 'CommandLine')?.getAttribute('CommandId');
  const signal = find(later[4] as typeof create, 'Signal');
  assert.equal(signal?.getAttribute('CommandId'), started);
  assert.equal(find(later[4] as typeof create, 'Code')?.textContent, `${shellSpace}/signal/terminate`);
  const sessions = new Set(
    asked.flatMap(({ root }) => findAll(root, 'SessionId').map((one) => one.textContent)),
  );
  assert.equal(sessions.size, 1);
});

test('an error record beside the output says what is missing, though the pipeline completes', async () => {
  // WinRM v2, tests/spec/stubs/clixml/error_record.xml.erb, without what nothing is read from.
  const said = "The operation couldn't be performed because object 'nobody' couldn't be found.";
  const record = `<Obj RefId="0"><TN RefId="0"><T>System.Management.Automation.ErrorRecord</T><T>System.Object</T></TN><ToString>${said}</ToString><MS><B N="writeErrorStream">true</B><Obj N="Exception" RefId="1"><TN RefId="1"><T>Microsoft.PowerShell.Commands.WriteErrorException</T><T>System.Exception</T><T>System.Object</T></TN><ToString>Microsoft.PowerShell.Commands.WriteErrorException: ${said}</ToString><Props><S N="Message">${said}</S><Obj N="Data" RefId="2"><TN RefId="2"><T>System.Collections.ListDictionaryInternal</T><T>System.Object</T></TN><DCT/></Obj><Nil N="InnerException"/></Props></Obj><Nil N="TargetObject"/><S N="FullyQualifiedErrorId">Microsoft.PowerShell.Commands.WriteErrorException</S><S N="ErrorCategory_Reason">WriteErrorException</S><Nil N="PSMessageDetails"/></MS></Obj>`;
  const completed = '<Obj RefId="0"><MS><I32 N="PipelineState">4</I32></MS></Obj>';
  const { errorRecord, pipelineState } = messageTypes;
  const streams = [
    [errorRecord, record],
    [pipelineState, completed],
  ] as const;
  const { server } = replay([
    answered(`<rsp:Shell><rsp:ShellId>${shellId}</rsp:ShellId></rsp:Shell>`),
    received([stdout.capability, stdout.opened]),
    answered(''),
    received(
      streams.map(([type, text], at) => {
        const xml = `\ufeff${text}`;
        const message = encodeMessage({
          destination: 'client',
          type,
          poolId: pool,
          pipelineId: pipeline,
          xml,
        });
        return fragmentsOf(BigInt(at + 4), message).toString('base64');
      }),
    ),
  ]);
  const session = await openPowerShell(server, 'Basic x');
  await assert.rejects(
    session.run('Get-CASMailbox', { Identity: 'nobody' }),
    (error) =>
      error instanceof MusterError && error.code === 'mailbox-missing' && error.message.includes(said),
  );
});
