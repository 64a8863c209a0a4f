/**
 * A loopback mail server (npm smtp-server) that keeps what it is sent. Called by test/api/sign-in/link.test.ts.
 */
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { SMTPServer } from 'smtp-server';

/** A mail as it arrived. */
export interface ArrivedMail {
  readonly from: string;
  readonly to: readonly string[];
  /** Headers and body, quoted-printable undone. */
  readonly text: string;
}

export interface SmtpStage {
  /** For MUSTER_SMTP_URL. */
  readonly url: string;
  readonly arrived: ArrivedMail[];
  /** Resolves once `count` mails have arrived in all. */
  untilArrived(count: number): Promise<void>;
  /** From now on recipients are refused, or accepted again. */
  refuse(on: boolean): void;
  stop(): Promise<void>;
}

const plain = (raw: string): string =>
  raw
    .replace(/=\r\n/g, '')
    .replace(/=([0-9A-F]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));

/** Starts one on a free port. */
export const startSmtp = async (): Promise<SmtpStage> => {
  const arrived: ArrivedMail[] = [];
  const waiting = new Set<() => void>();
  let refusing = false;
  const server = new SMTPServer({
    authOptional: false,
    allowInsecureAuth: true,
    disabledCommands: ['STARTTLS'],
    onAuth: ({ username, password }, _session, done) =>
      username === 'muster' && password === 'mail secret'
        ? done(null, { user: username })
        : done(new Error('Invalid username or password')),
    onRcptTo: (_address, _session, done) =>
      refusing ? done(Object.assign(new Error('No such mailbox'), { responseCode: 550 })) : done(),
    onData(stream, session, done) {
      const chunks: Buffer[] = [];
      stream.on('data', (chunk: Buffer) => chunks.push(chunk));
      stream.on('end', () => {
        const { mailFrom, rcptTo } = session.envelope;
        arrived.push({
          from: mailFrom ? mailFrom.address : '',
          to: rcptTo.map(({ address }) => address),
          text: plain(Buffer.concat(chunks).toString()),
        });
        done();
        for (const check of waiting) check();
      });
    },
  });
  server.on('error', () => {});
  const listener = server.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const { port } = listener.address() as AddressInfo;
  return {
    url: `smtp://muster:mail%20secret@127.0.0.1:${port}`,
    arrived,
    untilArrived: (count) =>
      new Promise((resolve) => {
        const check = () => {
          if (arrived.length < count) return;
          waiting.delete(check);
          resolve();
        };
        waiting.add(check);
        check();
      }),
    refuse: (on) => {
      refusing = on;
    },
    stop: () => new Promise((resolve) => void server.close(() => resolve())),
  };
};
