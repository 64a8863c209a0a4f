/**
 * Bytes that are not ours: a session between pypsrp and Windows Server 2012 R2, recorded in
 * github.com/jborean93/pypsrp, tests/responses/test_psrp_run_protocol_version_2.2.yml (MIT).
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { read } from '../../../workers/exchange/psrp/clixml.ts';
import {
  fragmentsOf,
  messageTypes,
  openDefragmenter,
  sessionCapability,
} from '../../../workers/exchange/psrp/messages.ts';
import { parseXml } from '../../../workers/exchange/psrp/xml.ts';

/** That client writes ids in network order, and the server gives them back as they came: as .NET reads them. */
const pool = '15ba5123-3cdb-8e4b-b7ad-0ca62c0769c8';
const asked =
  'AAAAAAAAAAEAAAAAAAAAAAMAAADHAgAAAAIAAQAjUboV2zxLjretDKYsB2nIAAAAAAAAAAAAAAAAAAAAADxPYmogUmVmSWQ9IjAiPjxNUz48VmVyc2lvbiBOPSJwcm90b2NvbHZlcnNpb24iPjIuMzwvVmVyc2lvbj48VmVyc2lvbiBOPSJQU1ZlcnNpb24iPjIuMDwvVmVyc2lvbj48VmVyc2lvbiBOPSJTZXJpYWxpemF0aW9uVmVyc2lvbiI+MS4xLjAuMTwvVmVyc2lvbj48L01TPjwvT2JqPg==';
const opened =
  'AAAAAAAAAAMAAAAAAAAAAAMAAABnAQAAAAUQAgAjUboV2zxLjretDKYsB2nIAAAAAAAAAAAAAAAAAAAAAO+7vzxPYmogUmVmSWQ9IjAiPjxNUz48STMyIE49IlJ1bnNwYWNlU3RhdGUiPjI8L0kzMj48L01TPjwvT2JqPg==';

test('a session capability has the bytes that another client sends, but for the version', () => {
  const theirs = Buffer.from(asked, 'base64').toString('latin1').replace('>2.3<', '>2.2<');
  assert.equal(fragmentsOf(1n, sessionCapability(pool)).toString('latin1'), theirs);
});

test('a Windows server says that the pool is open', () => {
  const [message, ...more] = openDefragmenter()(Buffer.from(opened, 'base64'));
  assert.ok(message);
  assert.deepEqual(more, []);
  assert.equal(message.type, messageTypes.runspacePoolState);
  assert.equal(message.destination, 'client');
  assert.equal(message.poolId, pool);
  assert.deepEqual(read(parseXml(message.xml)), { RunspaceState: 2 });
});
