/**
 * Sends hostile messages over many connections at once, honest requests among them, and judges every answer. Called by
 * ../fuzz.test.ts.
 */
import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { Hostile } from './request.ts';

/** One request that is sent as it is and must be answered 200 with its own tag. */
export interface Honest {
  readonly tag: string;
  readonly bytes: string;
}

/** What one connection carries: any number of messages after which it goes on, then at most one that ends it. */
export interface Script {
  readonly messages: readonly (Hostile | Honest)[];
  readonly last: Hostile | null;
  readonly isTls: boolean;
}

export interface Ports {
  readonly plain: number;
  readonly tls: number;
  readonly ca: string;
}

/** An answer as it stood on the wire. */
interface Answer {
  readonly status: number;
  readonly reason: string | undefined;
  readonly body: string;
}

/** Cuts complete answers off the front of what was received; they all say their length. */
const takeAnswers = (received: string): { answers: Answer[]; rest: string } => {
  const answers: Answer[] = [];
  let rest = received;
  for (;;) {
    const headEnd = rest.indexOf('\r\n\r\n');
    if (headEnd < 0) return { answers, rest };
    const head = rest.slice(0, headEnd);
    // Answers that Node makes itself have an empty body in chunks.
    const isChunked = /\r\ntransfer-encoding: chunked/i.test(head);
    const length = isChunked ? '0\r\n\r\n'.length : Number(/\r\ncontent-length: (\d+)/i.exec(head)?.[1] ?? 0);
    const end = headEnd + 4 + length;
    if (rest.length < end) return { answers, rest };
    answers.push({
      status: Number(/^HTTP\/1\.1 (\d{3})/.exec(head)?.[1] ?? Number.NaN),
      reason: /\r\nx-muster-reason: (\S+)/i.exec(head)?.[1],
      body: rest.slice(headEnd + 4, end),
    });
    rest = rest.slice(end);
  }
};

/** A connection and what came back on it. */
const dial = (script: Script, ports: Ports) => {
  const isRaw = script.last?.isForTls === true;
  const socket: Socket =
    script.isTls && !isRaw
      ? connectTls({ port: ports.tls, host: '127.0.0.1', ca: ports.ca })
      : connect(isRaw ? ports.tls : ports.plain, '127.0.0.1');
  const answers: Answer[] = [];
  let rest = '';
  let isClosed = false;
  let wake = () => {};
  socket.on('data', (chunk) => {
    const taken = takeAnswers(rest + chunk.toString('latin1'));
    answers.push(...taken.answers);
    rest = taken.rest;
    wake();
  });
  // Being cut off is a refusal like any other; what has come until then is judged.
  socket.on('error', () => {});
  socket.on('close', () => {
    isClosed = true;
    wake();
  });
  /** Settles once there are `count` answers or the connection is closed. */
  const until = async (count: number): Promise<void> => {
    while (answers.length < count && !isClosed)
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
  };
  return { socket, answers, until };
};

const show = ({ family, bytes }: Hostile): string => `${family}: ${JSON.stringify(bytes.slice(0, 1_500))}`;

/** Every answer to something hostile is a refusal. */
const assertRefused = (answers: readonly Answer[], hostile: Hostile): void => {
  for (const { status, body } of answers)
    assert.ok(
      status >= 400 && status < 500 && status !== 401,
      `answered ${status} (${body}): ${show(hostile)}`,
    );
};

/**
 * Runs the scripts all at once and says what went wrong. Those that wait for us to hang up are left waiting until all
 * others are through. What is still open when `signal` aborts has hung.
 */
export const drive = async (
  scripts: readonly Script[],
  ports: Ports,
  signal: AbortSignal,
): Promise<string[]> => {
  let release = () => {};
  const others = new Promise<void>((resolve) => {
    release = resolve;
  });
  const start = (chosen: readonly Script[], meanwhile: Promise<void>) =>
    Promise.allSettled(chosen.map((script) => run(script, ports, meanwhile, signal)));
  const waits = ({ last }: Script) => last?.outcome === 'waits';
  const waiting = start(scripts.filter(waits), others);
  const ended = await start(
    scripts.filter((script) => !waits(script)),
    Promise.resolve(),
  );
  release();
  return [...ended, ...(await waiting)].flatMap((result) =>
    result.status === 'rejected' ? [String((result.reason as Error).message)] : [],
  );
};

const run = async (
  script: Script,
  ports: Ports,
  others: Promise<void>,
  signal: AbortSignal,
): Promise<void> => {
  const connection = dial(script, ports);
  const hangUp = () => connection.socket.destroy();
  signal.addEventListener('abort', hangUp);
  try {
    await runMessages(script.messages, connection);
    if (script.last !== null) await runLast(script.last, connection, others);
    if (signal.aborted) assert.fail(`never ended: ${shown(script)}`);
  } finally {
    signal.removeEventListener('abort', hangUp);
    hangUp();
  }
};

const shown = ({ last, messages }: Script): string =>
  [...messages, ...(last === null ? [] : [last])]
    .map((message) =>
      'tag' in message ? `an honest request: "${message.tag}"` : show(message).slice(0, 400),
    )
    .join(' | ');

type Connection = ReturnType<typeof dial>;

/** Sends them all at once; each gets its own answer, in order. */
const runMessages = async (
  messages: Script['messages'],
  { socket, answers, until }: Connection,
): Promise<void> => {
  if (messages.length === 0) return;
  socket.write(messages.map(({ bytes }) => bytes).join(''), 'latin1');
  await until(messages.length);
  for (const [at, message] of messages.entries()) {
    const answer = answers[at];
    if ('tag' in message)
      assert.deepEqual([answer?.status, answer?.body], [200, message.tag], JSON.stringify(message.bytes));
    else assert.ok(answer?.status === 403 && answer.reason, `answered ${answer?.status}: ${show(message)}`);
  }
  answers.length = 0;
};

const runLast = async (
  last: Hostile,
  { socket, answers, until }: Connection,
  others: Promise<void>,
): Promise<void> => {
  socket.write(last.bytes, 'latin1');
  if (last.outcome === 'waits') await others;
  else await until(1);
  socket.end();
  await until(Number.POSITIVE_INFINITY);
  assertRefused(answers, last);
};
