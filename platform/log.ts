/**
 * Structured logging: JSON lines on standard error, secrets redacted, context carried by child loggers.
 * Constructed once in each main.ts and passed as an argument.
 */
import { type Logger, pino } from 'pino';

export type { Logger } from 'pino';

/** Keys whose values never reach a log line, at any of the depths that Muster logs. */
const secretKeys = [
  'authorization',
  'password',
  'token',
  'deviceToken',
  'pushToken',
  'secret',
  'privateKey',
  'cookie',
];

/** A logger; `level` as in pino, `name` is the process ("serve", "proxy", "eventstore"). */
export const openLog = (options: { level: string; name: string }): Logger =>
  pino(
    {
      name: options.name,
      level: options.level,
      base: { name: options.name, pid: process.pid },
      redact: { paths: secretKeys.flatMap((key) => [key, `*.${key}`, `*.*.${key}`]), censor: '[redacted]' },
      serializers: { err: pino.stdSerializers.err },
    },
    pino.destination({ dest: 2, sync: true }),
  );
