/**
 * The load, a process of its own on bare TLS sockets so that it costs less than any contestant: a closed loop over all
 * connections, an even rate, or held Pings. Told what to do by bench/proxy/main.ts over IPC.
 */
import { connect, type TLSSocket } from 'node:tls';
import { summarise } from '../measure.ts';

export type Job =
  | {
      readonly kind: 'load';
      readonly port: number;
      readonly connections: number;
      readonly durationMs: number;
      readonly perSecond: number | null;
    }
  | { readonly kind: 'hold'; readonly port: number; readonly connections: number }
  | { readonly kind: 'release' };

/** 2 KB that begin as the WBXML of the command does (MS-ASWBXML 2.1.2.1): the gate forwards nothing else. */
const bodyOf = (...tags: readonly number[]): string =>
  String.fromCharCode(0x03, 0x01, 0x6a, 0x00, ...tags).padEnd(2_048, 'x');
const bodies = { Sync: bodyOf(0x45), Ping: bodyOf(0x00, 0x0d, 0x45) } as const;
const devices = Number(process.argv[2]);
/** One of a hundred devices is refused, which is as much of an answer as any; more would measure something else. */
const mostRefused = 0.03;

const requestOf = (index: number, cmd: keyof typeof bodies): string => {
  const body = bodies[cmd];
  const credential = Buffer.from(`user${index}:secret`).toString('base64');
  return (
    `POST /Microsoft-Server-ActiveSync?Cmd=${cmd}&User=user${index}&DeviceId=DEVICE${index}&DeviceType=Bench HTTP/1.1\r\n` +
    `Host: mail.example.org\r\nAuthorization: Basic ${credential}\r\nUser-Agent: bench/1\r\n` +
    `MS-ASProtocolVersion: 14.1\r\nContent-Type: application/vnd.ms-sync.wbxml\r\nContent-Length: ${body.length}\r\n\r\n${body}`
  );
};

/** Calls `answered` once per whole response; answers of all contestants have a length or are chunked to an end. */
const onAnswers = (socket: TLSSocket, answered: (isOk: boolean) => void): void => {
  let text = '';
  socket.setEncoding('latin1');
  socket.on('data', (chunk: string) => {
    text += chunk;
    for (;;) {
      const head = text.indexOf('\r\n\r\n');
      if (head < 0) return;
      const length = /\r\ncontent-length: (\d+)/i.exec(text.slice(0, head));
      const end = length ? head + 4 + Number(length[1]) : text.indexOf('0\r\n\r\n', head) + 5;
      if (end < head || text.length < end) return;
      const isOk = text.startsWith('HTTP/1.1 200');
      text = text.slice(end);
      answered(isOk);
    }
  });
};

const dial = (port: number): Promise<TLSSocket> =>
  new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false }, () => resolve(socket));
    socket.once('error', reject);
  });

const dialAll = async (port: number, count: number): Promise<TLSSocket[]> => {
  const sockets: TLSSocket[] = [];
  while (sockets.length < count) {
    const batch = Math.min(50, count - sockets.length);
    sockets.push(...(await Promise.all(Array.from({ length: batch }, () => dial(port)))));
  }
  for (const socket of sockets) socket.on('error', () => {});
  return sockets;
};

const load = async ({ port, connections, durationMs, perSecond }: Extract<Job, { kind: 'load' }>) => {
  const sockets = await dialAll(port, connections);
  const latencies: number[] = [];
  const due: number[] = [];
  const idle = new Set<TLSSocket>();
  let next = 0;
  let refused = 0;
  const startedAt = performance.now();
  const endsAt = startedAt + durationMs;
  let pending = 0;
  let finish = () => {};
  const finished = new Promise<void>((resolve) => {
    finish = resolve;
  });
  const sentAt = new Map<TLSSocket, number>();
  const send = (socket: TLSSocket, from: number) => {
    next = (next + 1) % devices;
    sentAt.set(socket, from);
    pending += 1;
    socket.write(requestOf(next, 'Sync'));
  };
  for (const socket of sockets) {
    onAnswers(socket, (isOk) => {
      if (!isOk) refused += 1;
      const now = performance.now();
      latencies.push(now - (sentAt.get(socket) as number));
      pending -= 1;
      const waiting = perSecond === null ? now : due.shift();
      if (now < endsAt && waiting !== undefined) send(socket, waiting);
      else idle.add(socket);
      if (now >= endsAt && pending === 0) finish();
    });
  }
  if (perSecond === null) for (const socket of sockets) send(socket, startedAt);
  else {
    for (const socket of sockets) idle.add(socket);
    let sent = 0;
    // What is due while every connection is busy waits, and its waiting counts: the loop is open.
    const tick = setInterval(() => {
      const now = performance.now();
      if (now >= endsAt) {
        clearInterval(tick);
        if (pending === 0) finish();
        return;
      }
      for (; sent < ((now - startedAt) / 1_000) * perSecond; sent += 1) {
        const [socket] = idle;
        const dueAt = startedAt + (sent / perSecond) * 1_000;
        if (socket === undefined) due.push(dueAt);
        else {
          idle.delete(socket);
          send(socket, dueAt);
        }
      }
    }, 1);
  }
  await finished;
  const elapsedMs = performance.now() - startedAt;
  for (const socket of sockets) socket.destroy();
  if (refused > latencies.length * mostRefused)
    throw new Error(`${refused} of ${latencies.length} requests were refused`);
  return { count: latencies.length, ...summarise(latencies, elapsedMs) };
};

let held: TLSSocket[] = [];
process.on('message', (job: Job) => {
  const run = async () => {
    if (job.kind === 'load') return load(job);
    if (job.kind === 'release') {
      for (const socket of held) socket.destroy();
      held = [];
      return {};
    }
    held = await dialAll(job.port, job.connections);
    // Device numbers that end in 99 are refused; a held Ping must be let through.
    for (const [index, socket] of held.entries())
      socket.write(requestOf(index - (index % 100 === 99 ? 1 : 0), 'Ping'));
    return {};
  };
  run().then(
    (result) => process.send?.(result),
    (error: Error) => process.send?.({ error: error.message }),
  );
});
process.once('disconnect', () => process.exit());
process.send?.({ ready: true });
