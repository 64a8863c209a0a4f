/**
 * A loopback reCAPTCHA: speaks the wire format of siteverify and refuses what Google refuses.
 * Called by test/api/sign-in/challenge.test.ts; source: developers.google.com/recaptcha/docs/verify.
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface RecaptchaServer {
  /** For MUSTER_RECAPTCHA_ENDPOINT. */
  readonly endpoint: string;
  readonly siteKey: string;
  readonly secret: string;
  /** Forms taken, in order. */
  readonly taken: Readonly<Record<string, string>>[];
  /** A token as the widget gives it; each can be verified once. */
  solve(more?: { readonly hostname?: string; readonly score?: number }): string;
  /** The next request gets this status and text. */
  failNext(status: number, text: string): void;
  stop(): Promise<void>;
}

const readForm = async (request: IncomingMessage): Promise<Record<string, string>> => {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Object.fromEntries(new URLSearchParams(Buffer.concat(chunks).toString()));
};

/** Starts one on a free port. */
export const startRecaptcha = async (): Promise<RecaptchaServer> => {
  const secret = 'recaptcha-secret-of-a-tenant';
  const taken: Record<string, string>[] = [];
  const solved = new Map<string, object>();
  const used = new Set<string>();
  const failures: { status: number; text: string }[] = [];
  const refused = (...codes: string[]) => ({ success: false, 'error-codes': codes });

  const verify = (form: Record<string, string>): object => {
    if (!form['secret']) return refused('missing-input-secret');
    if (form['secret'] !== secret) return refused('invalid-input-secret');
    const token = form['response'];
    if (!token) return refused('missing-input-response');
    if (used.has(token)) return refused('timeout-or-duplicate');
    const answer = solved.get(token);
    if (!answer) return refused('invalid-input-response');
    used.add(token);
    return { success: true, challenge_ts: '2026-11-25T08:00:00Z', ...answer };
  };

  const server = createServer(async (request, response) => {
    const isForm = request.headers['content-type'] === 'application/x-www-form-urlencoded';
    if (request.method !== 'POST' || request.url !== '/siteverify' || !isForm) {
      response.writeHead(405).end();
      return;
    }
    const form = await readForm(request);
    taken.push(form);
    const failure = failures.shift();
    response.writeHead(failure?.status ?? 200, { 'content-type': 'application/json; charset=utf-8' });
    response.end(failure?.text ?? JSON.stringify(verify(form)));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}/siteverify`,
    siteKey: 'recaptcha-site-key',
    secret,
    taken,
    solve({ hostname = 'muster.example.org', score } = {}) {
      const token = `token-${solved.size + 1}`;
      solved.set(token, { hostname, ...(score === undefined ? {} : { score, action: 'signin' }) });
      return token;
    },
    failNext: (status, text) => void failures.push({ status, text }),
    async stop() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
};
