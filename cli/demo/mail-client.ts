/**
 * A phone's mail app in the demo: sends one ActiveSync request through the EAS proxy. Called by story.ts.
 */
import { request } from 'undici';

/** FolderSync with sync key 0 in WBXML (MS-ASWBXML page 7): what a phone asks first. */
const folderSync = Buffer.from([
  0x03, 0x01, 0x6a, 0x00, 0x00, 0x07, 0x56, 0x52, 0x03, 0x30, 0x00, 0x01, 0x01,
]);

/** How the proxy answered: `rule` names what refused the request, null when it reached the mail server. */
export interface MailAnswer {
  readonly status: number;
  readonly rule: string | null;
}

/** Asks for the mail folders of `user` as the device with ActiveSync id `easDeviceId`. */
export const askForMail = async (
  proxyUrl: string,
  user: string,
  easDeviceId: string,
): Promise<MailAnswer> => {
  const query = new URLSearchParams({
    Cmd: 'FolderSync',
    User: user,
    DeviceId: easDeviceId,
    DeviceType: 'Phone',
  });
  const { statusCode, headers, body } = await request(`${proxyUrl}/Microsoft-Server-ActiveSync?${query}`, {
    method: 'POST',
    headers: {
      authorization: `Basic ${Buffer.from(`${user}:demo`).toString('base64')}`,
      'content-type': 'application/vnd.ms-sync.wbxml',
      'ms-asprotocolversion': '16.1',
      'user-agent': 'Muster-Demo/1.0',
    },
    body: folderSync,
  });
  await body.dump();
  const rule = headers['x-muster-reason'];
  return { status: statusCode, rule: typeof rule === 'string' ? rule : null };
};
