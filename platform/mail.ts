/**
 * Hands mails over to a mail server by SMTP (RFC 5321) through nodemailer. Constructed in api/main.ts.
 */
import { createTransport } from 'nodemailer';
import { MusterError } from './errors.ts';

/** A mail in plain text. */
export interface Mail {
  readonly to: string;
  readonly subject: string;
  readonly text: string;
}

export interface Mailer {
  /** Hands a mail over; throws `dependency-unavailable` when the server does not take it. */
  send(mail: Mail): Promise<void>;
  close(): void;
}

const timeoutMs = 10_000;

/** Opens the way to the mail server; connections are made when a mail is sent. */
export const openMailer = (smtpUrl: string, from: string): Mailer => {
  const transport = createTransport({
    url: smtpUrl,
    pool: true,
    maxConnections: 2,
    connectionTimeout: timeoutMs,
    greetingTimeout: timeoutMs,
    socketTimeout: timeoutMs,
    // A mail is text that we wrote: nothing in it may name a file or an address to read.
    disableFileAccess: true,
    disableUrlAccess: true,
  });
  return {
    async send({ to, subject, text }) {
      try {
        await transport.sendMail({ from, to: { name: '', address: to }, subject, text });
      } catch (cause) {
        throw new MusterError('dependency-unavailable', 'the mail server does not take the mail', { cause });
      }
    },
    close: () => transport.close(),
  };
};
