/** The readers of the other protocols: what they recognise, and what they refuse. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { answerJson, answerXml } from '../../proxy/autodiscover.ts';
import { bodyProblem, readEasBody } from '../../proxy/eas-body.ts';
import { readEws } from '../../proxy/ews.ts';
import { isTravelerPath, readTraveler } from '../../proxy/traveler.ts';
import { rootCommand, statusBody } from '../../proxy/wbxml.ts';

const publicUrl = new URL('https://mail.example.org');

test('a status answer has the tags of its command, and its root tag is read back', () => {
  assert.equal(statusBody('FolderSync', 129)?.toString('hex'), '03016a000007564c03313239000101');
  assert.equal(statusBody('GetAttachment', 129), null);
  for (const command of ['Sync', 'Ping', 'MeetingResponse', 'SmartReply', 'Find', 'Settings'] as const)
    assert.equal(rootCommand(statusBody(command, 129) as Buffer), command);
});

test('a body must be the command of the query; a message must not hide WBXML', () => {
  const folderSync = Buffer.from('03016a00000756', 'hex');
  const read = (head: Buffer, contentType?: string, contentEncoding?: string) =>
    readEasBody(head, { contentType, contentEncoding });
  assert.equal(bodyProblem('FolderSync', read(folderSync)), null);
  assert.match(bodyProblem('Ping', read(folderSync)) ?? '', /FolderSync/);
  assert.equal(bodyProblem('Ping', read(Buffer.alloc(0))), null);
  assert.equal(bodyProblem('SendMail', read(Buffer.from('From: a'), 'message/rfc822')), null);
  assert.ok(bodyProblem('Sync', read(Buffer.from('From: a'), 'message/rfc822')));
  assert.ok(bodyProblem('SendMail', read(folderSync, 'message/rfc822')));
  assert.ok(bodyProblem('FolderSync', read(folderSync, undefined, 'gzip')));
});

const autodiscover = (schema: string, before = '') =>
  Buffer.from(
    `${before}<Autodiscover xmlns="http://schemas.microsoft.com/exchange/autodiscover/${schema}/requestschema/2006"><Request><EMailAddress>a@b.c</EMailAddress><AcceptableResponseSchema>http://schemas.microsoft.com/exchange/autodiscover/${schema}/responseschema/2006</AcceptableResponseSchema></Request></Autodiscover>`,
  );

test('Autodiscover tells the address of the instance, to mobilesync only', () => {
  const answer = answerXml(autodiscover('mobilesync'), publicUrl);
  assert.ok(
    typeof answer !== 'string' &&
      answer.body.includes('https://mail.example.org/Microsoft-Server-ActiveSync'),
  );
  assert.equal(typeof answerXml(autodiscover('outlook'), publicUrl), 'string');
  assert.equal(
    typeof answerXml(autodiscover('mobilesync', '<!DOCTYPE x [<!ENTITY y "z">]>'), publicUrl),
    'string',
  );
  assert.notEqual(typeof answerJson('Email=a@b.c&Protocol=ActiveSync', publicUrl), 'string');
  assert.equal(typeof answerJson('Protocol=Ews&Protocol=ActiveSync', publicUrl), 'string');
});

const soap = (body: string, header = '') =>
  Buffer.from(
    `<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" xmlns:m="http://schemas.microsoft.com/exchange/services/2006/messages" xmlns:t="http://schemas.microsoft.com/exchange/services/2006/types">${header}<s:Body>${body}</s:Body></s:Envelope>`,
  );
const push = (url: string) =>
  `<m:Subscribe><m:PushSubscriptionRequest><t:URL>${url}</t:URL></m:PushSubscriptionRequest></m:Subscribe>`;

test('EWS: only push subscriptions to listed hosts and their end are proven', () => {
  const operation = (bytes: Buffer) =>
    readEws(bytes, { contentType: 'text/xml; charset=utf-8', contentEncoding: undefined }, [
      'push.example.org',
    ]).operation;
  assert.equal(operation(soap(push('https://push.example.org/x'))), 'Subscribe');
  assert.equal(operation(soap('<m:Unsubscribe/>')), 'Unsubscribe');
  for (const refused of [
    soap(push('https://10.0.0.1/x')),
    soap(push('https://push.example.org@10.0.0.1/x')),
    soap('<m:Unsubscribe/><m:GetItem/>'),
    soap('<m:GetItem/>'),
    soap('<m:Unsubscribe/>', '<s:Header><t:ExchangeImpersonation/></s:Header>'),
  ])
    assert.equal(operation(refused), null, refused.toString());
});

test('Traveler: plain paths below its roots, ActiveSync excepted', () => {
  assert.ok(isTravelerPath('/traveler') && !isTravelerPath('/travelerx'));
  assert.deepEqual(readTraveler('/traveler/a?deviceId=abc'), {
    deviceId: 'ABC',
    path: '/traveler/a',
    query: 'deviceId=abc',
  });
  for (const target of [
    '/traveler/../owa',
    '/traveler/%2e',
    '/traveler//x',
    '/traveler/Microsoft-Server-ActiveSync',
    '/traveler?deviceId=a&DeviceID=b',
  ])
    assert.equal(typeof readTraveler(target), 'string', target);
});
